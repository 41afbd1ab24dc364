"""The configuration file: values PostgreSQL accepts, in proportion to the machine."""

from pathlib import Path

from vascodb.cluster.tuning import memory_bytes, server_configuration


def parse(text: str) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in text.splitlines())


def test_memory_is_at_most_what_the_kernel_reports() -> None:
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert 0 < memory_bytes() <= int(line.split()[1]) * 1024


def test_the_server_takes_a_modest_part_of_the_memory(tmp_path: Path) -> None:
    settings = parse(server_configuration(tmp_path, tmp_path / "run", 5432, "vascodb-01234567"))
    megabytes = {name: int(settings[name].removesuffix("MB")) for name in ("shared_buffers", "work_mem")}
    memory_mib = memory_bytes() // 1024**2
    assert 64 <= megabytes["shared_buffers"] <= max(64, memory_mib // 8)
    assert 8 <= megabytes["work_mem"] <= 128


def test_only_the_given_socket_is_opened(tmp_path: Path) -> None:
    settings = parse(server_configuration(tmp_path, Path("/run/here"), 5432, "vascodb-01234567"))
    assert settings["listen_addresses"] == "''"
    assert settings["unix_socket_directories"] == "'/run/here'"
    assert "fsync" not in settings
