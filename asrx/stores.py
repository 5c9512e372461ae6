"""Where runs, models and files are kept: the tracking store, ASRX_HOME, and what a person's relative paths mean."""

import logging
import os
from pathlib import Path
from typing import Any

from .errors import TrackingError

REACHABLE_WITHIN = 5.0  # s
DATABASES = ("sqlite:", "postgresql", "mysql")  # schemes


def launch_folder() -> Path:
    """The folder that a person's relative paths mean: where `mlflow run` was typed, not the project that it runs.

    A project's command runs in the project's folder, which for a git URI is a temporary clone. The process that launched it
    is the nearest ancestor without this run's id in its environment.
    """
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return Path.cwd()
    import psutil

    try:
        for ancestor in psutil.Process().parents():
            if ancestor.environ().get("MLFLOW_RUN_ID") != run_id:
                return Path(ancestor.cwd())
    except psutil.Error:
        pass
    return Path.cwd()


def user_path(text: str) -> Path:
    """A path as a person typed it, absolute."""
    return (launch_folder() / Path(text).expanduser()).absolute()


def tracking_uri() -> str:
    """The tracking store: MLFLOW_TRACKING_URI, else MLflow's default, with relative sqlite paths made absolute."""
    import mlflow

    uri = os.environ.get("MLFLOW_TRACKING_URI") or mlflow.get_tracking_uri()
    if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////") and ":memory:" not in uri:
        uri = f"sqlite:///{launch_folder() / uri.removeprefix('sqlite:///')}"
    return uri


def connect() -> Any:
    """An MlflowClient on a store that answers. TrackingError, within seconds, if it does not."""
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells of every attempt
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        check_server(uri)
    elif uri.startswith(DATABASES):
        _check_database(uri)
    mlflow.set_tracking_uri(uri)
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # the default of 7 blocks a call for 247 s
    try:
        client = mlflow.MlflowClient()
        client.search_experiments(max_results=1)
    except Exception as error:  # stores raise their drivers' errors; all of them mean that runs cannot be kept there
        raise _unusable(uri, error) from None
    return client


def home() -> Path:
    """ASRX_HOME: where corpora, journals and checkpoints live. Beside a sqlite tracking database, else ~/.asrx."""
    if os.environ.get("ASRX_HOME"):
        return Path(os.environ["ASRX_HOME"]).expanduser().absolute()
    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///").partition("?")[0]).parent / ".asrx"
    return Path.home() / ".asrx"


def check_server(uri: str) -> None:
    """TrackingError, within seconds, if the tracking server does not answer."""
    import requests

    try:
        status = requests.get(uri.rstrip("/") + "/health", timeout=REACHABLE_WITHIN).status_code
    except requests.RequestException as error:
        raise TrackingError(f"the tracking server {uri} cannot be reached ({type(error).__name__}); is it running? See MLFLOW_TRACKING_URI") from None
    if status >= 500:
        raise TrackingError(f"the tracking server {uri} answers with status {status}; look at its log")


def _check_database(uri: str) -> None:
    """MLflow tries for 103 s to open a database that cannot be opened."""
    import sqlalchemy

    local = uri.startswith("sqlite")
    try:
        if local and (path := Path(uri.partition(":///")[2].partition("?")[0])).name:
            path.parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(uri, connect_args={} if local else {"connect_timeout": int(REACHABLE_WITHIN)})
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA schema_version" if local else "SELECT 1")
        engine.dispose()
    except Exception as error:  # each driver has its own errors, and a missing driver is an ImportError
        raise _unusable(uri, error) from None


def _unusable(uri: str, error: Exception) -> TrackingError:
    reason = " ".join(str(error).partition("(Background")[0].split())[:200]
    return TrackingError(f"the tracking store {uri} cannot be used: {reason}; set MLFLOW_TRACKING_URI")
