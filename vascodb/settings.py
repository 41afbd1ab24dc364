"""Settings from the environment: where vascodb keeps its files and which database it uses."""

import os
from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings"]

SYSTEM_HOME = Path("/var/lib/vascodb")


def _default_home() -> Path:
    # Root's own data directory lies below /root, which the unprivileged user that must run the
    # server cannot enter; the system-wide state directory can be entered.
    return SYSTEM_HOME if os.geteuid() == 0 else user_data_path("vascodb")


class Settings(BaseSettings):
    """Validated settings; every field can be set by an environment variable ``VASCODB_<FIELD>``.

    Parameters
    ----------
    home : `~pathlib.Path`
        Folder of everything vascodb writes: the private database, images, working files, logs.
    url : `~pydantic.SecretStr` or None
        SQLAlchemy or libpq URL of a server. Without it the private database under ``home`` is used.
    settings : `~pathlib.Path` or None
        Settings file of services, catalogues and fetches; see `settings_file`.
    """

    model_config = SettingsConfigDict(env_prefix="VASCODB_", env_ignore_empty=True, extra="forbid", frozen=True)

    home: Path = Field(default_factory=_default_home)
    url: SecretStr | None = None
    settings: Path | None = None

    @field_validator("home", "settings")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        # Tools run in folders of their own, where a relative path would be another.
        return None if path is None else path.expanduser().absolute()

    @property
    def settings_file(self) -> Path | None:
        """The settings file in use: the one that is named, else ``settings.toml`` in ``home`` if there is one."""
        usual = self.home / "settings.toml"
        return self.settings or (usual if usual.exists() else None)

    @property
    def database_dir(self) -> Path:
        """Folder of the private database cluster."""
        return self.home / "database"

    @property
    def images_dir(self) -> Path:
        """Folder of downloaded plate images."""
        return self.home / "images"

    @property
    def work_dir(self) -> Path:
        """Folder of the working files of running extractions; emptied when they end."""
        return self.home / "work"

    @property
    def logs_dir(self) -> Path:
        """Folder of the logs of the private database."""
        return self.home / "logs"
