"""Which methods of the worker processes ``collective_rpc`` may call.

A method whose result cannot be sent ends the thread in EngineCore that sends results, one that
takes the worker apart ends the engine, and vLLM calls whatever is named. So the names are on a
list, each tried on a real engine with valid and invalid arguments; beside them are the public
methods of the class that the engine was given as ``worker_extension_cls``.
"""

from __future__ import annotations

import logging

from python_worker.engines.guards.worker_extension import load, public_methods

logger = logging.getLogger(__name__)

# Methods of the worker processes whose result msgpack can carry. Adapters are loaded and removed
# by the engine's own methods, which count them.
WORKER_METHODS = frozenset(
    {
        "check_health",
        "checkpoint_prepare",
        "checkpoint_restore",
        "compute_weight_checksums",
        "determine_available_memory",
        "execute_dummy_batch",
        "get_compilation_match_table",
        "get_encoder_timing_stats",
        "get_model_inspection",
        "get_supported_kv_cache_layouts",
        "get_supported_tasks",
        "list_loras",
        "reload_weights",
        "reset_encoder_cache",
        "reset_mm_cache",
        "reset_weights",
        "save_sharded_state",
        "supports_draft_weight_updates",
        "synchronize_device",
        "update_config",
    }
)

# Methods for which ``AsyncLLM`` has one of its own that must be called instead, by name: only that
# one follows the state that they change.
BEHIND = {
    name: name
    for name in (
        "add_lora",
        "finish_weight_update",
        "init_weight_transfer_engine",
        "pin_lora",
        "remove_lora",
        "shutdown_weight_transfer_engine",
        "start_draft_weight_update",
        "start_weight_update",
        "update_weights",
    )
}


def extension_methods(path: str) -> frozenset[str]:
    """The public methods of a worker extension class.

    Args:
        path: ``module.Class``, as ``worker_extension_cls`` has it; may be empty.
    """
    if not path:
        return frozenset()
    try:
        return frozenset(public_methods(load(path)))
    except Exception:
        # The workers have loaded it, or there would be no engine.
        logger.warning("worker_extension_cls %s cannot be read here", path, exc_info=True)
        return frozenset()
