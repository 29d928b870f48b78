"""How a server is set up, checked before anything is loaded."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bark.errors import SettingError

KEY_VARIABLE = "BARK_API_KEY"


@dataclass(frozen=True)
class ServeSettings:
    """Everything that ``bark serve`` can be told."""

    model: str = "large"
    device: str = "auto"
    dtype: str = "auto"
    fast: bool = False  # see `Bark.from_pretrained`

    engine: Literal["local", "ray"] = "local"  # one model here, or replicas that Ray keeps
    replicas: int = 1  # of the model, at least
    most_replicas: int | None = None  # under load; None: never more

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None  # that clients must send; None lets everyone in who reaches the port
    origins: tuple[str, ...] = ()  # of web pages elsewhere that may use the server

    voices: Path | None = None  # None: the usual folder of own voices
    jobs: Path | None = None  # None: beside the voices

    queue: int = 32  # requests at once, those being spoken among them
    max_batch: int = 4  # requests spoken side by side
    text_letters: int = 4096  # of one request; longer texts are long jobs
    long_letters: int = 200_000  # of a long job: some three hours of speech
    upload_bytes: int = 25 << 20  # of one request's body
    held_bytes: int = 512 << 20  # of all bodies at once
    upload_seconds: float = 600.0  # of a recording
    decoded_bytes: int = 256 << 20  # of a recording's samples
    body_seconds: float = 60.0  # in which a body must have arrived
    stop_seconds: float = 20.0  # for what is being spoken when the server is told to stop

    def __post_init__(self) -> None:
        if self.api_key is not None and not self.api_key.strip():
            raise SettingError(KEY_VARIABLE, "an empty value", "a secret of your own")
        if not is_loopback(self.host) and self.api_key is None:
            raise SettingError(
                f"--host {self.host} lets other computers in, and nothing keeps strangers out",
                fix=f"Set {KEY_VARIABLE} to a secret that clients send as their API key",
            )


def is_loopback(host: str) -> bool:
    """Tell whether only programs of this computer reach a host by this name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
