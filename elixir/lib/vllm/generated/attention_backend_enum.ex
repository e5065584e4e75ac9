# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.AttentionBackendEnum do
  @moduledoc """
  Enumeration of all supported attention backends.

  The enum value is the default class path, but this can be overridden at runtime using
  register_backend().

  To get the actual backend class (respecting overrides), use: backend.get_class()

  In Python: `vllm.v1.attention.backends.registry.AttentionBackendEnum`. Its members are atoms here.

    * `:FLASH_ATTN`
    * `:FLASH_ATTN_DIFFKV`
    * `:TRITON_ATTN`
    * `:TRITON_ATTN_DIFFKV`
    * `:TRITON_FLASH_ATTN`
    * `:ROCM_ATTN`
    * `:ROCM_SEGMENTED_ATTN`
    * `:ROCM_AITER_MLA`
    * `:ROCM_AITER_TRITON_MLA`
    * `:ROCM_AITER_FA`
    * `:ROCM_AITER_MLA_SPARSE`
    * `:XPU_MLA_SPARSE`
    * `:TORCH_SDPA`
    * `:FLASHINFER`
    * `:TRITON_FLASHINFER`
    * `:FLASHINFER_MLA`
    * `:TOKENSPEED_MLA`
    * `:FLASHINFER_MLA_SPARSE`
    * `:FLASHINFER_MLA_SPARSE_SM120`
    * `:FLASHINFER_MLA_SPARSE_SM90`
    * `:TRITON_MLA`
    * `:CUTLASS_MLA`
    * `:FLASHMLA`
    * `:FLASHMLA_SPARSE`
    * `:FLASHMLA_SPARSE_DSV4` - DeepSeek V4 sparse MLA backends (model-driven; selected via the V4 layer).
    * `:FLASHINFER_MLA_SPARSE_DSV4`
    * `:ROCM_FLASHMLA_SPARSE_DSV4`
    * `:FLASHMLA_SPARSE_DSV41` - V4.0 backend classes through this enum.
    * `:FLASHINFER_MLA_SPARSE_DSV41`
    * `:FLASHMLA_MEGA_ATTN_DSV41`
    * `:B12X`
    * `:FLASH_ATTN_MLA`
    * `:FLASH_ATTN_MLA_SPARSE`
    * `:MINIMAX_M3_SPARSE`
    * `:CUTLASS_MSA`
    * `:TRITON_MSA`
    * `:NO_ATTENTION`
    * `:FLEX_ATTENTION`
    * `:HPC_ATTN` - and requires a block size of 64.
    * `:ROCM_AITER_UNIFIED_ATTN`
    * `:CPU_ATTN`
    * `:CPU_MLA`
    * `:AMX_MLA`
    * `:TURBOQUANT`
    * `:ULTRAQUANT`
    * `:CUSTOM` - set to None to avoid alias with other backend, whose value is an empty string
  """

  @type t ::
          :FLASH_ATTN
          | :FLASH_ATTN_DIFFKV
          | :TRITON_ATTN
          | :TRITON_ATTN_DIFFKV
          | :TRITON_FLASH_ATTN
          | :ROCM_ATTN
          | :ROCM_SEGMENTED_ATTN
          | :ROCM_AITER_MLA
          | :ROCM_AITER_TRITON_MLA
          | :ROCM_AITER_FA
          | :ROCM_AITER_MLA_SPARSE
          | :XPU_MLA_SPARSE
          | :TORCH_SDPA
          | :FLASHINFER
          | :TRITON_FLASHINFER
          | :FLASHINFER_MLA
          | :TOKENSPEED_MLA
          | :FLASHINFER_MLA_SPARSE
          | :FLASHINFER_MLA_SPARSE_SM120
          | :FLASHINFER_MLA_SPARSE_SM90
          | :TRITON_MLA
          | :CUTLASS_MLA
          | :FLASHMLA
          | :FLASHMLA_SPARSE
          | :FLASHMLA_SPARSE_DSV4
          | :FLASHINFER_MLA_SPARSE_DSV4
          | :ROCM_FLASHMLA_SPARSE_DSV4
          | :FLASHMLA_SPARSE_DSV41
          | :FLASHINFER_MLA_SPARSE_DSV41
          | :FLASHMLA_MEGA_ATTN_DSV41
          | :B12X
          | :FLASH_ATTN_MLA
          | :FLASH_ATTN_MLA_SPARSE
          | :MINIMAX_M3_SPARSE
          | :CUTLASS_MSA
          | :TRITON_MSA
          | :NO_ATTENTION
          | :FLEX_ATTENTION
          | :HPC_ATTN
          | :ROCM_AITER_UNIFIED_ATTN
          | :CPU_ATTN
          | :CPU_MLA
          | :AMX_MLA
          | :TURBOQUANT
          | :ULTRAQUANT
          | :CUSTOM
end
