"""How RocksDB is set up, by the size of the machine."""

from __future__ import annotations

import msgspec
from rocksdict import BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options

from perdure.abc import MachineSpec
from perdure_rocksdb._settings import Settings

_MIB = 1024 * 1024

_LOG_BYTES = 64 * _MIB
"""What an opening after a crash has to read again, which takes about a second and holds the interpreter lock."""

META = "default"
ENTRIES = "entries"
FEED = "feed"
STATES = "states"
FAMILIES = (META, ENTRIES, FEED, STATES)
"""The column families. They are the same four in every store, so none has to be made while others write."""


class Sizes(msgspec.Struct, frozen=True):
    """Bytes of memory, and threads of RocksDB's own."""

    block_cache: int
    write_buffers: int
    jobs: int

    @classmethod
    def of(cls, machine: MachineSpec) -> Sizes:
        """Take 2 % of the memory to cache what is read, 2 % for what is not yet in sorted files, and each core."""
        share = machine.ram_mb * 2 // 100
        return cls(
            block_cache=min(1024, max(8, share)) * _MIB,
            write_buffers=min(256, max(8, share)) * _MIB,
            jobs=min(8, max(2, machine.cpu_cores)),
        )


def options(settings: Settings) -> tuple[Options, dict[str, Options]]:
    """Return the options of the whole store, and of each column family."""
    sizes = Sizes.of(MachineSpec.of(settings.machine))
    cache = Cache(sizes.block_cache)
    return _database(settings, sizes), {name: _family(name, sizes, cache) for name in FAMILIES}


def _database(settings: Settings, sizes: Sizes) -> Options:
    database = Options(raw_mode=True)
    database.create_if_missing(settings.mode == "rw")
    database.create_missing_column_families(settings.mode == "rw")
    # RocksDB's default is to open with what comes before any damage, and to say nothing.
    database.set_wal_recovery_mode(
        DBRecoveryMode.point_in_time() if settings.wal == "cut" else DBRecoveryMode.tolerate_corrupted_tail_records()
    )
    database.set_db_write_buffer_size(sizes.write_buffers)
    database.set_max_total_wal_size(min(2 * sizes.write_buffers, _LOG_BYTES))
    database.set_max_background_jobs(sizes.jobs)
    if settings.mode == "rw":  # a reader beside it has to hold all files, or the writer removes them
        database.set_max_open_files(_most_files())
    database.set_bytes_per_sync(2 * _MIB)
    database.set_wal_bytes_per_sync(_MIB // 2)
    database.set_keep_log_file_num(4)
    database.set_max_log_file_size(4 * _MIB)
    database.set_stats_dump_period_sec(0)
    database.set_stats_persist_period_sec(0)
    return database


def _most_files() -> int:
    """Return half of the files that this process may have open; -1 where it has no limit.

    By itself RocksDB has all files of a store open, one for each 64 MiB, and a store that has more fails to open.
    """
    try:
        import resource
    except ImportError:  # Windows
        return -1
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return -1 if limit == resource.RLIM_INFINITY else max(32, limit // 2)


def _family(name: str, sizes: Sizes, cache: Cache) -> Options:
    family = Options(raw_mode=True)
    family.set_write_buffer_size(max(4 * _MIB, sizes.write_buffers // 4))
    family.set_level_compaction_dynamic_level_bytes(True)
    family.set_compression_type(DBCompressionType.lz4())
    family.set_bottommost_compression_type(DBCompressionType.zstd())
    table = BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_block_size(16 * 1024)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    if name == STATES:  # the others are searched in order, for which a filter is no help
        table.set_bloom_filter(10, False)
    family.set_block_based_table_factory(table)
    return family
