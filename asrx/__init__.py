"""asrx: fine-tune speech recognisers as MLflow runs and promote only what is measurably better."""

__version__ = "0.1.0"
