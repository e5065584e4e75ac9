# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.LoRARequest do
  @moduledoc """
  Request for a LoRA adapter.

  lora_int_id must be globally unique for a given adapter. This is currently not enforced in
  vLLM.

  In Python: `vllm.lora.request.LoRARequest`, whose words these are: its `None` is `nil` here.
  A keyword list or a map with these keys is accepted wherever this struct is.

  ## Example

      iex> %Vllm.LoRARequest{lora_name: "sql", lora_int_id: 1, lora_path: "/adapters/sql"}.load_inplace
      false

  ## Fields

    * `:lora_name` - `str`, required. Name of the adapter.
    * `:lora_int_id` - `int`, required. Id of the adapter, above zero: one id for each adapter.
    * `:lora_path` - `str`, default `""`. Folder of the adapter, on the worker's machine.
    * `:base_model_name` - `str or None`, default `nil`. Name of the model the adapter was made
      for.
    * `:load_inplace` - `bool`, default `false`. If True, forces reloading the adapter even if
      one with the same lora_int_id already exists in the cache. This replaces the existing
      adapter in-place. If False (default), only loads if the adapter is not already loaded.
    * `:is_3d_lora_weight` - `bool`, default `false`. Whether this adapter's MoE weights are
      stored in the 3D fused `gate_up_proj` / `down_proj` layout (one fused tensor per layer) or
      the 2D per-expert split layout (separate `gate_proj` / `up_proj` / `down_proj` tensors per
      expert). Only consulted when the engine is started with
      `enable_mixed_moe_lora_format=True`; otherwise it is ignored and the on-disk format is
      inferred from the base model.
  """

  @type t :: %__MODULE__{
          lora_name: String.t(),
          lora_int_id: integer(),
          lora_path: String.t(),
          base_model_name: String.t() | nil,
          load_inplace: boolean(),
          is_3d_lora_weight: boolean()
        }

  defstruct lora_name: nil,
            lora_int_id: nil,
            lora_path: "",
            base_model_name: nil,
            load_inplace: false,
            is_3d_lora_weight: false
end
