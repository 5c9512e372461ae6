"""Which weights of a model are trained: all, some of its parts, or small matrices beside its attention (LoRA, Hu et al. 2021)."""

from copy import deepcopy
from typing import Any

from ..errors import ConfigError
from ..options import Model

ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj", "linear_q", "linear_k", "linear_v", "linear_out")
# WavLM hands the weights of its attention to one fused function, past whatever is put beside them.
FEED_FORWARD = {"wavlm": ("intermediate_dense", "output_dense")}
ADAPTERS = ("adapter_layer", "adapter", "intermediate_ffn")  # MMS's in each layer; the convolutional one after the last layer and what precedes it


def apply(model: Any, options: Model) -> Any:
    """The model with `requires_grad` as `model.trainable` says, changed in place; for LoRA it gets further weights.

    What is frozen already stays frozen. Raises ConfigError for a part that the model lacks.
    """
    if options.trainable == "all":
        return model
    trained = {"head": _head, "adapter": _adapter, "decoder": _decoder, "lora": _lora}[options.trainable](model, options)
    model.requires_grad_(False)
    if hasattr(model, "freeze_feature_encoder"):
        model.freeze_feature_encoder()  # else it asks for gradients of its input, and every layer keeps its activations
    for parameter in trained:
        parameter.requires_grad_(True)
    _freeze_statistics(model)
    return model


def plain(model: Any) -> Any:
    """The model as plain transformers has it: itself, or a copy with LoRA's matrices added to the weights beside which they stand."""
    if not any(hasattr(module, "lora_A") for module in model.modules()):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    merged = deepcopy(model)
    for name, module in list(merged.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            merged.set_submodule(name, module.get_base_layer())
    return merged


def _freeze_statistics(model: Any) -> None:
    """Batch normalisation, as Conformers have it, learns without gradients."""
    from torch.nn import BatchNorm1d

    for module in model.modules():
        if isinstance(module, BatchNorm1d) and not module.weight.requires_grad:
            module.momentum = 0.0


def _head(model: Any, options: Model) -> list[Any]:
    if model.config.is_encoder_decoder:
        raise ConfigError(
            f"model.trainable=head: the output layer of a {model.config.model_type} is its table of token embeddings; "
            "train the decoder (model.trainable=decoder) or LoRA matrices (model.trainable=lora) instead"
        )
    return list(model.lm_head.parameters())


def _adapter(model: Any, options: Model) -> list[Any]:
    """Output layer included. `freeze_base_model` of transformers would freeze the adapters, too."""
    found = [parameter for name, parameter in model.named_parameters() if set(ADAPTERS) & set(name.split("."))]
    if not found:
        raise ConfigError(
            f"model.trainable=adapter: this {model.config.model_type} model has no adapter; "
            "give it one (model.add_adapter=true, where it can have one), start from an MMS checkpoint, or use model.trainable=lora"
        )
    return [*found, *model.lm_head.parameters()]


def _decoder(model: Any, options: Model) -> list[Any]:
    if not model.config.is_encoder_decoder:
        raise ConfigError(f"model.trainable=decoder: a {model.config.model_type} with CTC has no decoder; its output layer alone is model.trainable=head")
    encoder = {id(parameter) for parameter in model.get_encoder().parameters()}
    return [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in encoder]


def _lora(model: Any, options: Model) -> list[Any]:
    """The output layer of a CTC model is often new and therefore trained in full; that of an encoder-decoder belongs to its embeddings."""
    from peft import LoraConfig, inject_adapter_in_model

    kind = model.config.model_type
    wanted = FEED_FORWARD.get(kind, ATTENTION)
    targets = [name for name, _ in model.named_modules() if name.rpartition(".")[2] in wanted]
    if not targets:
        raise ConfigError(f"model.trainable=lora: asrx does not know the attention layers of a {kind} model")
    settings = LoraConfig(r=options.lora_rank, lora_alpha=options.lora_alpha, lora_dropout=options.lora_dropout, target_modules=targets)
    inject_adapter_in_model(settings, model)
    beside = [parameter for name, parameter in model.named_parameters() if "lora_" in name]
    return beside if model.config.is_encoder_decoder else [*beside, *model.lm_head.parameters()]
