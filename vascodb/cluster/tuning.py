"""The private server's configuration, sized from the machine's memory and disk."""

import os
import shutil
from pathlib import Path

__all__ = ["memory_bytes", "server_configuration"]

MIB = 1024**2

# Memory limits of a container, cgroup v2 then v1.
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

# Parallel joins share memory through /dev/shm; the 64 MiB that containers get is too small for them.
SMALLEST_SHARED_MEMORY_BYTES = 256 * MIB


def memory_bytes() -> int:
    """Return the memory this process may use: the machine's, or the container's limit if smaller."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CGROUP_LIMITS:
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdecimal():
            limits.append(int(text))
    return min(limits)


def server_configuration(home: Path, socket_dir: Path, port: int, cluster_name: str) -> str:
    """Return the text of the configuration file of the private server.

    The server shares the machine with SExtractor and Python, so it takes a modest part. Values set
    with ``ALTER SYSTEM`` win over this file, which is written anew at every start.

    Parameters
    ----------
    home : `~pathlib.Path`
        Folder whose disk holds the database.
    socket_dir : `~pathlib.Path`
        Folder of the server's only socket.
    port : int
        Number in the socket's name.
    cluster_name : str
        Shown in the title of every process of the server.

    Returns
    -------
    str
        Lines of ``name = value``.
    """
    memory_mib = memory_bytes() // MIB
    free_mib = shutil.disk_usage(home).free // MIB
    settings = {
        "listen_addresses": "''",
        "unix_socket_directories": f"'{socket_dir}'",
        "unix_socket_permissions": "0700",
        "port": str(port),
        "cluster_name": f"'{cluster_name}'",
        "shared_buffers": f"{_clamp(memory_mib // 8, 64, 4096)}MB",
        "effective_cache_size": f"{_clamp(memory_mib // 2, 128, 1 << 20)}MB",
        "work_mem": f"{_clamp(memory_mib // 256, 8, 128)}MB",
        "maintenance_work_mem": f"{_clamp(memory_mib // 16, 64, 1024)}MB",
        "max_wal_size": f"{_clamp(free_mib // 8, 256, 4096)}MB",
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "random_page_cost": "1.1",
        # Q3C's cost estimates always pass jit_above_cost, and compiling took 60 % of a join's time.
        "jit": "off",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] %q%u@%d '",
    }
    if not _shared_memory_is_ample():
        settings["dynamic_shared_memory_type"] = "mmap"
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def _shared_memory_is_ample() -> bool:
    try:
        return shutil.disk_usage("/dev/shm").total >= SMALLEST_SHARED_MEMORY_BYTES
    except OSError:
        return False
