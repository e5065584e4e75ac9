# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.AsyncEngineArgs do
  @moduledoc """
  Arguments for asynchronous vLLM engine.

  In Python: `vllm.engine.arg_utils.AsyncEngineArgs`, whose words these are: its `None` is
  `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.
  `:default` leaves a field to vLLM.

  ## Fields

    * `:model` - `str`, default `"Qwen/Qwen3-0.6B"`. Name or path of the Hugging Face model to
      use. It is also used as the content for `model_name` tag in metrics output when
      `served_model_name` is not specified.
    * `:enable_return_routed_experts` - `bool`, default `false`. Whether outputs carry
      `routed_experts`.
    * `:return_sampling_mask` - `bool`, default `false`. Whether to return the post-processing
      token support for each sample.
    * `:model_weights` - `str`, default `""`. Original model weights path. Used when the model
      is pulled from object storage (e.g., RunAI) to preserve the original URI while `model`
      points to the local directory.
    * `:served_model_name` - `str or list[str] or None`, default `nil`. The model name(s) used
      in the API. If multiple names are provided, the server will respond to any of the provided
      names. The model name in the model field of a response will be the first name in this
      list. If not specified, the model name will be the same as the `--model` argument. Noted
      that this name(s) will also be used in `model_name` tag content of prometheus metrics, if
      multiple names provided, metrics tag will take the first one.
    * `:tokenizer` - `str or None`, default `nil`. Name or path of the Hugging Face tokenizer to
      use. If unspecified, model name or path will be used.
    * `:hf_config_path` - `str or None`, default `nil`. Name or path of the Hugging Face config
      to use. If unspecified, model name or path will be used.
    * `:runner` - `Literal['auto', 'generate', 'pooling', 'draft']`, default `"auto"`. The type
      of model runner to use. Each vLLM instance only supports one model runner, even if the
      same model can be used for multiple types.
    * `:convert` - `Literal['auto', 'none', 'embed', 'classify']`, default `"auto"`. Convert the
      model using adapters defined in `vllm.model_executor.models.adapters`. The most common use
      case is to adapt a text generation model to be used for pooling tasks.
    * `:skip_tokenizer_init` - `bool`, default `false`. Skip initialization of tokenizer and
      detokenizer. Expects valid `prompt_token_ids` and `None` for prompt from the input. The
      generated output will contain token ids.
    * `:enable_prompt_embeds` - `bool`, default `false`. If `True`, enables passing text
      embeddings as inputs via the `prompt_embeds` key.

      WARNING: The vLLM engine may crash if incorrect shape of embeddings is passed. Only
      enable this flag for trusted users!

    * `:tokenizer_mode` - `TokenizerMode or str`, default `"auto"`. Tokenizer mode:

      - "auto" will use the tokenizer from `mistral_common` for Mistral models if available,
        otherwise it will use the "hf" tokenizer.
      - "hf" will use the fast tokenizer if available.
      - "mistral" will always use the tokenizer from `mistral_common`.
      - "deepseek_v32" will always use the tokenizer from `deepseek_v32`.
      - "deepseek_v4" will always use the tokenizer from `deepseek_v4`.
      - "deepseek_v41" will use the DeepSeek V4.1 prompt encoder.
      - "kimi_k3" will always use the "hf" tokenizer but render chat prompts with Kimi K3's
        Python XTML encoding instead of a Jinja template.
      - "cohere" uses the standard HF tokenizer but renders the chat template via the
        `cohere_melody` library (cmd3 / cmd4 templates) instead of Jinja, and surfaces
        grounded-citation metadata on responses.
      - Other custom values can be supported via plugins.

      To swap the Rust BPE backend that powers HF fast tokenizers for the
      [fastokens](https://github.com/crusoecloud/fastokens) implementation, set
      `VLLM_USE_FASTOKENS=1` instead — that override applies to any mode that loads an HF fast
      tokenizer (`hf`, `deepseek_v32`, `deepseek_v4`, …).

      The choices: `"auto"`, `"hf"`, `"mistral"`, `"deepseek_v32"`, `"deepseek_v4"`,
      `"inkling"`, `"kimi_k3"`, `"cohere"`.

    * `:trust_remote_code` - `bool`, default `false`. Trust remote code (e.g., from HuggingFace)
      when downloading the model and tokenizer.
    * `:allowed_local_media_path` - `str`, default `""`. Allowing API requests to read local
      images or videos from directories specified by the server file system. This is a security
      risk. Should only be enabled in trusted environments.
    * `:allowed_media_domains` - `list[str] or None`, default `nil`. If set, only media URLs
      that belong to this domain can be used for multi-modal inputs.
    * `:download_dir` - `str or None`, default `nil`. Directory to download and load the
      weights, default to the default cache directory of Hugging Face.
    * `:safetensors_load_strategy` - `Literal['lazy', 'eager', 'prefetch', 'torchao'] or None`,
      default `nil`. Specifies the loading strategy for safetensors weights.

      - None (default): Uses memory-mapped (lazy) loading. When an NFS filesystem is detected
        and the total checkpoint size fits within 90% of available RAM, prefetching is enabled
        automatically.
      - "lazy": Weights are memory-mapped from the file. This enables on-demand loading and is
        highly efficient for models on local storage. Unlike the default (None), auto-prefetch
        on NFS is not performed.
      - "eager": The entire file is read into CPU memory upfront before loading. This is
        recommended for models on network filesystems (e.g., Lustre, NFS) as it avoids
        inefficient random reads, significantly speeding up model initialization. However, it
        uses more CPU RAM.
      - "prefetch": Checkpoint files are read into the OS page cache before workers load them,
        speeding up the model loading phase. Useful on network or high-latency storage.
      - "torchao": Weights are loaded in upfront and then reconstructed into torchao tensor
        subclasses. This is used when the checkpoint was quantized using torchao and saved
        using safetensors. Needs `torchao >= 0.14.0`.

    * `:safetensors_prefetch_num_threads` - `int`, default `8`. Number of worker threads used to
      prefetch safetensors checkpoint files into the OS page cache when safetensors prefetching
      is enabled.
    * `:safetensors_prefetch_block_size` - `int`, default `16777216`. Read size in bytes for
      each safetensors checkpoint file prefetch.
    * `:load_format` - `str`, default `"auto"`. The format of the model weights to load.

      - "auto" will try to load the weights in the safetensors format and fall back to the
        pytorch bin format if safetensors format is not available.
      - "pt" will load the weights in the pytorch bin format.
      - "safetensors" will load the weights in the safetensors format.
      - "instanttensor" will load the Safetensors weights on CUDA devices using InstantTensor,
        which enables distributed loading with pipelined prefetching and fast direct I/O.
      - "ipc_cache" will map post-quantized weights from a local weight cache daemon via CUDA
        IPC for fast engine restarts. Launch the daemon with `vllm preload` first.
      - "npcache" will load the weights in pytorch format and store a numpy cache to speed up
        the loading.
      - "dummy" will initialize the weights with random values, which is mainly for profiling.
      - "tensorizer" will use CoreWeave's tensorizer library for fast weight loading. See the
        Tensorize vLLM Model script in the Examples section for more information.
      - "runai_streamer" will load the Safetensors weights using Run:ai Model Streamer.
      - "runai_streamer_sharded" will load weights from pre-sharded checkpoint files using
        Run:ai Model Streamer.
      - "sharded_state" will load weights from pre-sharded checkpoint files, supporting
        efficient loading of tensor-parallel models.
      - "mistral" will load weights from consolidated safetensors files used by Mistral
        models.
      - "modelexpress" will load weights using ModelExpress.
      - Other custom values can be supported via plugins.

    * `:config_format` - `str`, default `"auto"`. The format of the model config to load:

      - "auto" will try to load the config in hf format if available after trying to load in
        mistral format.
      - "hf" will load the config in hf format.
      - "mistral" will load the config in mistral format.

    * `:dtype` - `ModelDType`, default `"auto"`. Data type for model weights and activations:

      - "auto" will use FP16 precision for FP32 and FP16 models, and BF16 precision for BF16
        models.
      - "half" for FP16. Recommended for AWQ quantization.
      - "float16" is the same as "half".
      - "bfloat16" for a balance between precision and range.
      - "float" is shorthand for FP32 precision.
      - "float32" for FP32 precision.

      The choices: `"auto"`, `"half"`, `"float16"`, `"bfloat16"`, `"float"`, `"float32"`.

    * `:kv_cache_dtype` - `CacheDType`, default `"auto"`. Data type for kv cache storage. If
      "auto", will use model data type. CUDA 11.8+ supports fp8 (=fp8_e4m3) and fp8_e5m2. ROCm
      (AMD GPU) supports fp8 (=fp8_e4m3). Intel Gaudi (HPU) supports fp8 (using fp8_inc). Some
      models (namely DeepSeekV3.2) default to fp8, set to bfloat16 to use bfloat16 instead, this
      is an invalid option for models that do not default to fp8. "nvfp4_4over6" uses the NVFP4
      layout and selects between max/6 and max/4 scales per 16 values by minimizing squared
      reconstruction error.

      The choices: `"auto"`, `"float16"`, `"bfloat16"`, `"fp8"`, `"fp8_e4m3"`, `"fp8_e5m2"`,
      `"fp8_inc"`, `"fp8_ds_mla"`, `"nvfp4_ds_mla"`, `"turboquant_k8v4"`,
      `"turboquant_4bit_nc"`, `"turboquant_k3v4_nc"`, `"turboquant_3bit_nc"`,
      `"ultraquant_4bit"`, `"int4_per_token_head"`, `"int8_per_token_head"`,
      `"fp8_per_token_head"`, `"nvfp4"`, `"nvfp4_4over6"`.

    * `:seed` - `int`, default `0`. Random seed for reproducibility.

      We must set the global seed because otherwise, different tensor parallel workers would
      sample different tokens, leading to inconsistent results.

    * `:max_model_len` - `int`, default `nil`. Model context length (prompt and output). If
      unspecified, will be automatically derived from the model config.

      When passing via `--max-model-len`, supports k/m/g/K/M/G in human-readable format.
      Examples:

      - 1k -> 1000
      - 1K -> 1024
      - 25.6k -> 25,600
      - -1 or 'auto' -> Automatically choose the maximum model length that fits in GPU memory.
        This will use the model's maximum context length if it fits, otherwise it will find
        the largest length that can be accommodated.

    * `:cudagraph_capture_sizes` - `list[int] or None`, default `nil`. Sizes to capture
      cudagraph.

      - None (default): capture sizes are inferred from vllm config.
      - list[int]: capture sizes are specified as given.

    * `:max_cudagraph_capture_size` - `int or None`, default `nil`. The maximum cudagraph
      capture size.

      If cudagraph_capture_sizes is specified, this will be set to the largest size in that
      list (or checked for consistency if specified). If cudagraph_capture_sizes is not
      specified, the list of sizes is generated automatically following the pattern:

      [1, 2, 4] + list(range(8, 256, 8)) + list( range(256, max_cudagraph_capture_size + 1,
      16))

      If not specified, max_cudagraph_capture_size is capped at 512 by default, or 1024 on
      data center Blackwell GPUs. This avoids OOM in tight memory scenarios with small
      max_num_seqs, and limits capture of large graphs that increase startup time and memory
      usage. Uniform decode sizes are appended only within this default ceiling.

    * `:ir_op_priority` - `IrOpPriorityConfig`, default `:default`, which is
      `IrOpPriorityConfig()`. vLLM IR op priority for dispatching/lowering during the forward
      pass. Platform defaults appended automatically during VllmConfig.__post_init__.
    * `:distributed_executor_backend` - `str or DistributedExecutorBackend or type[Executor] or
      None`, default `nil`. Backend to use for distributed model workers, either "ray" or "mp"
      (multiprocessing). If the product of pipeline_parallel_size and tensor_parallel_size is
      less than or equal to the number of GPUs available, "mp" will be used to keep processing
      on a single host. Otherwise, an error will be raised. To use "mp" you must also set
      nnodes, and to use "ray" you must manually set distributed_executor_backend to "ray".

      Note: [TPU](https://docs.vllm.ai/projects/tpu/en/latest/) platform only supports Ray for
      distributed inference.

      The choices: `"ray"`, `"mp"`, `"uni"`, `"external_launcher"`.

    * `:pipeline_parallel_size` - `int`, default `1`. Number of pipeline parallel groups.
    * `:master_addr` - `str`, default `"127.0.0.1"`. distributed master address for multi-node
      distributed inference when distributed_executor_backend is mp.
    * `:master_port` - `int`, default `29501`. distributed master port for multi-node
      distributed inference when distributed_executor_backend is mp.
    * `:nnodes` - `int`, default `1`. num of nodes for multi-node distributed inference when
      distributed_executor_backend is mp.
    * `:node_rank` - `int`, default `0`. distributed node rank for multi-node distributed
      inference when distributed_executor_backend is mp.
    * `:distributed_timeout_seconds` - `int or None`, default `nil`. Timeout in seconds for
      distributed operations (e.g., init_process_group). If set, this value is passed to
      torch.distributed.init_process_group as the timeout parameter. If None, PyTorch's default
      timeout is used (600s for NCCL). Increase this for multi-node setups where model downloads
      may be slow.
    * `:cpu_distributed_timeout_seconds` - `int or None`, default `nil`. Timeout (in seconds)
      for cpu communication groups. If None, PyTorch's default timeout is used (1800s for gloo).
    * `:numa_bind` - `bool`, default `false`. Enable NUMA binding for GPU worker subprocesses.

      By default, workers are pinned to their GPU's NUMA-local CPUs and memory; on PCT-capable
      Xeons they also auto-bind to the SKU's PCT priority cores.

    * `:numa_bind_nodes` - `list[int] or None`, default `nil`. NUMA node to bind each GPU worker
      to.

      Specify one NUMA node per visible GPU, for example `[0, 0, 1, 1]` for a 4-GPU system
      with GPUs 0-1 on NUMA node 0 and GPUs 2-3 on NUMA node 1. If unset and `numa_bind=True`,
      vLLM auto-detects the GPU-to-NUMA topology. The values are passed to `numactl --membind`
      and `--cpunodebind`, so they must be valid `numactl` NUMA node indices.

    * `:numa_bind_cpus` - `list[str] or None`, default `nil`. Optional CPU lists to bind each
      GPU worker to.

      Specify one CPU list per visible GPU, for example `["0-3", "4-7", "8-11", "12-15"]`.
      When set, vLLM uses `numactl --physcpubind` instead of `--cpunodebind`. This is useful
      for custom policies such as binding to PCT or other high-frequency cores. Each entry
      must use `numactl --physcpubind` CPU-list syntax, for example `"0-3"` or `"0,2,4-7"`.

    * `:device_ids` - `list[int or str] or None`, default `nil`. Comma-separated physical GPU
      device IDs or UUIDs to use (e.g. --device-ids "2,3,5,7"). Avoids setting
      CUDA_VISIBLE_DEVICES, preserving full GPU topology visibility for GPU-NIC affinity and
      DeepGEMM. Note: has no effect with Ray executors; use Ray placement groups for GPU
      selection instead.
    * `:tensor_parallel_size` - `int`, default `1`. Number of tensor parallel groups.
    * `:prefill_context_parallel_size` - `int`, default `1`. Number of ranks that split prefill
      sequence computation. PCP expands the process world size but does not increase the
      KV-cache shard count.
    * `:decode_context_parallel_size` - `int`, default `1`. Number of ranks that shard the
      decode KV cache. DCP does not expand the process world size. Without PCP, DCP reuses TP
      ranks. With PCP, DCP either spans the PCP axis or the full TP x PCP block.
    * `:dcp_comm_backend` - `Literal['ag_rs', 'a2a'] or None`, default `nil`. Communication
      backend for Decode Context Parallel (DCP).

      - "ag_rs": AllGather + ReduceScatter (existing behavior)
      - "a2a": All-to-All exchange of partial outputs + LSE, then combine with Triton kernel.
        Reduces NCCL calls from 3 to 2 per layer for MLA models.

      `None` selects the model default, which is "ag_rs" unless the model overrides it via
      `set_dcp_defaults`.

    * `:dcp_q_replicate` - `bool or None`, default `nil`. Replicate the MLA query projection
      within each DCP group so decode can skip the query all-gather.

      With DCP the KV cache is sharded across the group, so the standard MLA decode path
      all-gathers the query every step. Replicating the (small) query projection at load time
      lets each rank materialize the full group-local head set and skip that collective, at
      the cost of computing the projection redundantly on every rank in the group.

    * `:dcp_kv_cache_interleave_size` - `int`, default `1`. Interleave size of kv_cache storage
      while using DCP. dcp_kv_cache_interleave_size has been replaced by
      cp_kv_cache_interleave_size, and will be deprecated when PCP is fully supported.
    * `:cp_kv_cache_interleave_size` - `int or None`, default `nil`. Interleave size of kv_cache
      storage while using DCP. Store interleave_size tokens on dcp_rank i, then store next
      interleave_size tokens on dcp_rank i+1. Interleave_size=1: token-level alignment, where
      token `i` is stored on dcp_rank `i % dcp_world_size`. Interleave_size=block_size:
      block-level alignment, where tokens are first populated to the preceding ranks. Tokens are
      then stored in (rank i+1, block j) only after (rank i, block j) is fully occupied.
      Block_size should be greater than or equal to cp_kv_cache_interleave_size. Block_size
      should be divisible by cp_kv_cache_interleave_size.

      When --cp-kv-cache-interleave-size is omitted (None), the interleave size is resolved
      automatically based on NIXL transfer requirements. Explicit settings take priority.

    * `:data_parallel_size` - `int`, default `1`. Number of data parallel groups. MoE layers
      will be sharded according to the product of the tensor, prefill-context, and data parallel
      sizes.
    * `:data_parallel_rank` - `int or None`, default `nil`. Rank of the data parallel group. The
      runtime check at `__post_init__` further bounds this by `data_parallel_size`.
    * `:data_parallel_start_rank` - `int or None`, default `nil`. Starting data parallel rank
      for secondary nodes.
    * `:data_parallel_size_local` - `int or None`, default `nil`. Number of local data parallel
      groups. A value of 0 is a sentinel used by the engine-args layer to signal that data
      parallelism was specified externally (see `ParallelConfig.__post_init__`).
    * `:data_parallel_address` - `str or None`, default `nil`. Address of data parallel cluster
      head-node.
    * `:data_parallel_rpc_port` - `int or None`, default `nil`. Fixed port for data parallel
      messaging, shared by all nodes.
    * `:data_parallel_hybrid_lb` - `bool`, default `false`. Whether to use "hybrid" DP LB mode.
      Applies only to online serving and when data_parallel_size > 0. Enables running an
      AsyncLLM and API server on a "per-node" basis where vLLM load balances between local data
      parallel ranks, but an external LB balances between vLLM nodes/replicas. Set explicitly in
      conjunction with --data-parallel-start-rank.
    * `:data_parallel_external_lb` - `bool`, default `false`. Whether to use "external" DP LB
      mode. Applies only to online serving and when data_parallel_size > 0. This is useful for a
      "one-pod-per-rank" wide-EP setup in Kubernetes. Supported only for MoE deployments;
      non-MoE models should use independent vLLM instances without --data-parallel-* arguments.
      Set implicitly when --data-parallel-rank is provided explicitly to vllm serve.
    * `:data_parallel_multi_port_external_lb` - `bool`, default `false`. Run a node-local
      supervisor that launches one external-LB API server per local data parallel rank and
      exposes aggregated health on a supervisor port.
    * `:data_parallel_backend` - `Literal['ray', 'mp']`, default `"mp"`. Backend to use for data
      parallel, either "mp" or "ray".
    * `:enable_hc_sp` - `bool`, default `false`. Enable sequence parallelism for HyperConnection
      (HC) computation. Currently supported by Qwen4Exp on CUDA with TP>1 and PP=1 (ignored when
      TP=1). Does not change MoE parallelism. MoE SP may enable HC SP independently of this
      flag.
    * `:enable_expert_parallel` - `bool`, default `false`. Use expert parallelism instead of
      tensor parallelism for MoE layers.
    * `:enable_batch_sharded_sampling` - `bool or None`, default `nil`. Use sharded sampling
      across tensor parallel ranks. Each rank samples a slice of the batch instead of every rank
      sampling all of it. Currently defaults to False if not set. Enabling it explicitly raises
      when the config cannot support it (`tensor_parallel_size` must be > 1, `max_num_seqs` at
      least `tensor_parallel_size`, and `max_logprobs` non-negative). Models opt in by
      implementing `compute_logits_local`.
    * `:enable_ep_weight_filter` - `bool`, default `false`. Skip non-local expert weights during
      model loading when expert parallelism is active.  Each rank only reads its own expert
      shard from disk, which can drastically reduce storage I/O for MoE models with per-expert
      weight tensors (e.g. DeepSeek, Mixtral, Kimi-K2.5).  Has no effect on 3D fused-expert
      checkpoints (e.g. GPT-OSS) or non-MoE models.
    * `:moe_backend` - `MoEBackend`, default `"auto"`. Backend for MoE expert computation
      kernels. Available options:

      - "auto": Automatically select the best backend based on model and hardware
      - "triton": Use Triton-based fused MoE kernels
      - "batched_triton": Use batched Triton experts (moe_mmk) on the batched activation
        format ([E_local, max_num_tokens, K])
      - "deep_gemm": Use DeepGEMM kernels (FP8 block-quantized only)
      - "deep_gemm_mega_moe": Use DeepGEMM mega MoE kernels
      - "cutlass": Use vLLM CUTLASS kernels
      - "flashinfer_trtllm": Use FlashInfer with TRTLLM-GEN kernels
      - "flashinfer_cutlass": Use FlashInfer with CUTLASS kernels
      - "flashinfer_cutedsl": Use FlashInfer with CuteDSL kernels (FP4 only)
      - "flashinfer_moe_ep_cutedsl": Use FlashInfer's CuTeDSL MoE-EP mega-kernel with NVFP4
        weights (MXFP4 checkpoints are requantized at load); requires Blackwell, expert
        parallelism, and NVSHMEM
      - "flashinfer_b12x": Use FlashInfer CuteDSL fused MoE for SM12x (RTX Pro 6000 / DGX
        Spark)
      - "b12x": Use b12x FP4 MoE kernels on SM12x
      - "flashinfer_moe_ep_mega_deep_gemm": Use the FlashInfer moe_ep expert-parallel mega-MoE
        with the DeepGEMM megakernel, which consumes an MXFP4 checkpoint verbatim (Blackwell,
        requires expert parallel; DeepSeek-V4 only)
      - "marlin": Use Marlin kernels (weight-only quantization)
      - "humming": Use Humming Mixed Precision kernels
      - "triton_unfused": Use Triton unfused MoE kernels
      - "aiter": Use AMD AITer kernels (ROCm only)
      - "aiter_mega_moe": Use the AITER MegaMoE fused dispatch/GEMM/combine kernel (ROCm
        gfx950, requires DP+EP with a MoRI all2all backend; DeepSeek-V4 only)
      - "aiter_triton_mxfp4_bf16": Use the AITER Triton MXFP4 W4A16 (moe_gemm_a16w4) MoE
        kernel (ROCm gfx942/gfx950/gfx1250)
      - "flydsl": Use AMD FlyDSL kernels (ROCm only)
      - "rdna3": Use the fused RDNA3 W4A16 HIP kernel (ROCm gfx1100 only)
      - "hpc": Use HPC kernels (FP8 and Hopper only)
      - "emulation": use BF16/FP16 GEMM, dequantizing weights and running QDQ on activations.

      The choices: `"auto"`, `"triton"`, `"batched_triton"`, `"deep_gemm"`,
      `"deep_gemm_mega_moe"`, `"cutlass"`, `"flashinfer_trtllm"`, `"flashinfer_cutlass"`,
      `"flashinfer_cutedsl"`, `"flashinfer_moe_ep_cutedsl"`, `"flashinfer_b12x"`, `"b12x"`,
      `"flashinfer_moe_ep_mega_deep_gemm"`, `"marlin"`, `"humming"`, `"triton_unfused"`,
      `"aiter"`, `"aiter_mega_moe"`, `"aiter_triton_mxfp4_bf16"`, `"flydsl"`, `"hpc"`,
      `"emulation"`, `"rdna3"`.

    * `:linear_backend` - `LinearBackend`, default `"auto"`. Backend for linear layer GEMM
      kernels. Available options:

      Layer types without an implementation from the requested backend use automatic
      selection.

      - "auto": Automatically select the best backend based on model and hardware
      - "cutlass": Use CUTLASS-based kernels
      - "flashinfer_cutlass": Use FlashInfer with CUTLASS kernels
      - "flashinfer_cutedsl": Use FlashInfer with CuTe-DSL kernels (BF16, NVFP4, MXFP8,
        W4A16_NVFP4)
      - "flashinfer_trtllm": Use FlashInfer with TensorRT-LLM kernels
      - "flashinfer_cudnn": Use FlashInfer with cuDNN kernels
      - "flashinfer_b12x": Use FlashInfer b12x CuteDSL NVFP4 GEMM (SM120+)
      - "b12x": Use native B12X FP8 and FP4 linear kernels on SM12x
      - "marlin": Use Marlin kernels
      - "triton": Use Triton-based kernels
      - "deep_gemm": Use DeepGEMM kernels
      - "torch": Use PyTorch native scaled_mm kernels
      - "aiter": Use AMD AITer kernels (ROCm only)
      - "machete": Use Machete kernels (mixed-precision)
      - "fbgemm": Use FBGEMM kernels
      - "conch": Use Conch mixed-precision kernels
      - "exllama": Use Exllama mixed-precision kernels
      - "emulation": Use slow dequant-to-BF16 emulation (for testing only)
      - "xpu": Use XPU kernels
      - "xpu_woq": Use XPU kernels for weight-only quantization (e.g. W8A16)

      The choices: `"auto"`, `"cutlass"`, `"flashinfer_cutlass"`, `"flashinfer_cutedsl"`,
      `"flashinfer_trtllm"`, `"flashinfer_cudnn"`, `"flashinfer_b12x"`, `"b12x"`, `"marlin"`,
      `"humming"`, `"triton"`, `"deep_gemm"`, `"torch"`, `"aiter"`, `"machete"`, `"fbgemm"`,
      `"conch"`, `"exllama"`, `"emulation"`, `"xpu"`, `"xpu_woq"`.

    * `:sparse_indexer_topk_backend` - `SparseIndexerTopkBackend`, default `"auto"`. Backend for
      the DSA sparse indexer decode top-k kernel. Available options:

      - "auto": The pre-existing chain (cooperative -> persistent -> per_row); the other
        backends are opt-in
      - "deep_select": Use DeepSelect kernels (SM100a/SM103a only)
      - "cooperative": Use vLLM's cooperative_topk kernel
      - "persistent": Use vLLM's persistent_topk kernel
      - "per_row": Use vLLM's top_k_per_row_decode kernel
      - "flashinfer": Use FlashInfer's top_k_ragged_transform kernel
      - "torch": Use a plain torch.topk implementation (debug reference)
      - "aiter": Use AITER's top_k_per_row_decode kernel (ROCm gfx950 only, requires
        VLLM_ROCM_USE_AITER)

      Explicit values raise RuntimeError when their constraints are not met.

      The choices: `"auto"`, `"deep_select"`, `"cooperative"`, `"persistent"`, `"per_row"`,
      `"flashinfer"`, `"torch"`, `"aiter"`.

    * `:all2all_backend` - `All2AllBackend`, default `"allgather_reducescatter"`. All2All
      backend for MoE expert parallel communication. Available options:

      - "allgather_reducescatter": All2all based on allgather and reducescatter
      - "deepep_high_throughput": Use deepep high-throughput kernels
      - "deepep_low_latency": Use deepep low-latency kernels
      - "mori_high_throughput": MoRI EP with InterNodeV1 for multi-node
      - "mori_low_latency": MoRI EP with InterNodeV1LL for multi-node
      - "moonep": MoonEP balanced EP with dynamic redundant experts (NVLink)
      - "nixl_ep": Use nixl-ep kernels
      - "flashinfer_nvlink_one_sided": Use flashinfer high-throughput a2a kernels
      - "flashinfer_nvlink_two_sided": Use flashinfer two-sided kernels for mnnvl
      - "passthrough": No all2all at all: the MoE backend dispatches and combines itself (e.g.
        the FlashInfer MoE-EP megakernels). Bound automatically for such MoE backends; not
        selectable from the CLI.

      The choices: `"naive"`, `"pplx"`, `"deepep_high_throughput"`, `"deepep_low_latency"`,
      `"deepep_v2"`, `"mori_high_throughput"`, `"mori_low_latency"`, `"moonep"`, `"nixl_ep"`,
      `"allgather_reducescatter"`, `"flashinfer_all2allv"`, `"flashinfer_nvlink_two_sided"`,
      `"flashinfer_nvlink_one_sided"`, `"passthrough"`.

    * `:enable_elastic_ep` - `bool`, default `false`. Enable elastic expert parallelism with
      stateless NCCL groups for DP/EP.
    * `:elastic_ep_max_dp_size` - `int`, default `nil`. Maximum data parallel size supported by
      elastic expert parallelism.
    * `:enable_dbo` - `bool`, default `false`. Enable dual batch overlap for the model executor.
    * `:ubatch_size` - `int`, default `0`. Number of ubatch size.
    * `:dbo_decode_token_threshold` - `int`, default `32`. The threshold for dual batch overlap
      for batches only containing decodes. If the number of tokens in the request is greater
      than this threshold, microbatching will be used. Otherwise, the request will be processed
      in a single batch.
    * `:dp_sync_interval` - `int`, default `16`. Steps between DP finish-sync all-reduces; must
      match across DP ranks.
    * `:dbo_prefill_token_threshold` - `int`, default `512`. The threshold for dual batch
      overlap for batches that contain one or more prefills. If the number of tokens in the
      request is greater than this threshold, microbatching will be used. Otherwise, the request
      will be processed in a single batch.
    * `:disable_nccl_for_dp_synchronization` - `bool or None`, default `nil`. Forces the dp
      synchronization logic in vllm/v1/worker/dp_utils.py to use Gloo instead of NCCL for its
      all reduce.

      Defaults to True when async scheduling is enabled, False otherwise.

    * `:eplb_config` - `EPLBConfig`, default `:default`, which is `EPLBConfig()`. Expert
      parallelism configuration.
    * `:enable_eplb` - `bool`, default `false`. Enable expert parallelism load balancing for MoE
      layers.
    * `:expert_placement_strategy` - `Literal['linear', 'round_robin']`, default `"linear"`. The
      expert placement strategy for MoE layers:

      - "linear": Experts are placed in a contiguous manner. For example, with 4 experts and 2
        ranks, rank 0 will have experts [0, 1] and rank 1 will have experts [2, 3].
      - "round_robin": Experts are placed in a round-robin manner. For example, with 4 experts
        and 2 ranks, rank 0 will have experts [0, 2] and rank 1 will have experts [1, 3]. This
        strategy can help improve load balancing for grouped expert models with no redundant
        experts.

    * `:max_parallel_loading_workers` - `int or None`, default `nil`. Maximum number of parallel
      loading workers when loading model sequentially in multiple batches. To avoid RAM OOM when
      using tensor parallel and large models.
    * `:block_size` - `int or None`, default `nil`. Size of a contiguous cache block in number
      of tokens. Accepts None (meaning "use default"). After construction, always int.
    * `:enable_prefix_caching` - `bool or None`, default `nil`. Whether to enable prefix
      caching.
    * `:prefix_caching_hash_algo` - `Literal['sha256', 'sha256_cbor', 'xxhash', 'xxhash_cbor']`,
      default `"sha256"`. Set the hash algorithm for prefix caching:

      - "sha256" uses Pickle for object serialization before hashing. This is the current
        default, as SHA256 is the most secure choice to avoid potential hash collisions.
      - "sha256_cbor" provides a reproducible, cross-language compatible hash. It serializes
        objects using canonical CBOR and hashes them with SHA-256.
      - "xxhash" uses Pickle serialization with xxHash (128-bit) for faster, non-cryptographic
        hashing. Requires the optional `xxhash` package. IMPORTANT: Use of a hashing algorithm
        that is not considered  cryptographically secure theoretically increases the risk of
        hash collisions, which can cause undefined behavior or even leak private information
        in multi-tenant environments. Even if collisions are still very unlikely, it is
        important to consider your security risk tolerance against the performance benefits
        before turning this on.
      - "xxhash_cbor" combines canonical CBOR serialization with xxHash for reproducible
        hashing. Requires the optional `xxhash` package.

    * `:prefix_cache_retention_interval` - `int or None`, default `0`. Token interval between
      retained sliding-window and Mamba prefix-cache checkpoints. `0` retains only semantic
      checkpoints, including the latest replay boundary and shared-prefix junctions. Positive
      values additionally retain periodic checkpoints at the specified interval, which must be a
      multiple of the scheduler block size. `None` retains checkpoints densely. Applies only to
      sliding-window and Mamba cache groups.
    * `:disable_sliding_window` - `bool`, default `false`. Whether to disable sliding window. If
      True, we will disable the sliding window functionality of the model, capping to sliding
      window size. If the model does not support sliding window, this argument is ignored.
    * `:disable_cascade_attn` - `bool or None`, default `nil`. Deprecated: cascade attention has
      been removed, so this has no effect. It will be removed in v0.33.0.
    * `:offload_backend` - `str`, default `"auto"`. The backend for weight offloading. Options:

      - "auto": Selects based on which sub-config has non-default values (prefetch if
        offload_group_size > 0, uva if cpu_offload_gb > 0).
      - "uva": UVA (Unified Virtual Addressing) zero-copy offloading.
      - "prefetch": Async prefetch with group-based layer offloading.

    * `:cpu_offload_gb` - `float`, default `0`. The space in GiB to offload to CPU, per GPU.
      Default is 0, which means no offloading. Intuitively, this argument can be seen as a
      virtual way to increase the GPU memory size. For example, if you have one 24 GB GPU and
      set this to 10, virtually you can think of it as a 34 GB GPU. Then you can load a 13B
      model with BF16 weight, which requires at least 26GB GPU memory. Note that this requires
      fast CPU-GPU interconnect, as part of the model is loaded from CPU memory to GPU memory on
      the fly in each model forward pass. This uses UVA (Unified Virtual Addressing) for
      zero-copy access.
    * `:cpu_offload_params` - `set[str]`, default `:default`, which is `set()`. The set of
      parameter name segments to target for CPU offloading. Unmatched parameters are not
      offloaded. If this set is empty, parameters are offloaded non-selectively until the memory
      limit defined by `cpu_offload_gb` is reached. Examples:

      - For parameter name "mlp.experts.w2_weight":
      - "experts" or "experts.w2_weight" will match.
      - "expert" or "w2" will NOT match (must be exact segments). This allows distinguishing
        parameters like "w2_weight" and "w2_weight_scale".

    * `:offload_group_size` - `int`, default `0`. Group every N layers together. Offload last
      `offload_num_in_group` layers of each group. Default is 0 (disabled). Example:
      group_size=8, num_in_group=2 offloads layers 6,7,14,15,22,23,... Unlike cpu_offload_gb,
      this uses explicit async prefetching to hide transfer latency.
    * `:offload_num_in_group` - `int`, default `1`. Number of layers to offload per group. Must
      be <= offload_group_size. Default is 1.
    * `:offload_prefetch_step` - `int`, default `1`. Number of layers to prefetch ahead. Higher
      values hide more latency but use more GPU memory. Default is 1.
    * `:offload_params` - `set[str]`, default `:default`, which is `set()`. The set of parameter
      name segments to target for prefetch offloading. Unmatched parameters are not offloaded.
      If this set is empty, ALL parameters of each offloaded layer are offloaded. Uses segment
      matching: "w13_weight" matches "mlp.experts.w13_weight" but not
      "mlp.experts.w13_weight_scale".
    * `:gpu_memory_utilization` - `float`, default `0.92`. The fraction of GPU memory to be used
      for the model executor, which can range from 0 to 1. For example, a value of 0.5 would
      imply 50% GPU memory utilization. If unspecified, will use the default value of 0.92. This
      is a per-instance limit, and only applies to the current vLLM instance. It does not matter
      if you have another vLLM instance running on the same GPU. For example, if you have two
      vLLM instances running on the same GPU, you can set the GPU memory utilization to 0.5 for
      each instance. On non-GPU installs, this value controls the corresponding device memory
      utilization.
    * `:kv_cache_memory_bytes` - `int or None`, default `nil`. Size of KV Cache per GPU in
      bytes. By default, this is set to None and vllm can automatically infer the kv cache size
      based on gpu_memory_utilization. However, users may want to manually specify the kv cache
      memory size. kv_cache_memory_bytes allows more fine-grain control of how much memory gets
      used when compared with using gpu_memory_utilization. Note that kv_cache_memory_bytes
      (when not-None) ignores gpu_memory_utilization
    * `:max_num_batched_tokens` - `int or None`, default `nil`. Maximum number of tokens that
      can be processed in a single iteration.

      The default value here is mainly for convenience when testing. In real usage, this
      should be set in `EngineArgs.create_engine_config`.

    * `:max_num_scheduled_tokens` - `int or None`, default `nil`. Maximum number of tokens that
      the scheduler may issue in a single iteration.

      This is usually equal to max_num_batched_tokens, but can be smaller in cases when the
      model might append tokens into the batch (such as speculative decoding). Defaults to
      max_num_batched_tokens.

    * `:long_prefill_token_threshold` - `int`, default `0`. For chunked prefill, a request is
      considered long if the prompt is longer than this number of tokens. 0 disables the cap
      (default).

      The cap is not applied when the request is the only one in the batch, since there is no
      other request for it to starve.

    * `:long_prefill_token_threshold_adaptive` - `bool`, default `false`. Floor the effective
      long prefill token threshold at a fair share of the token budget: max_num_batched_tokens
      divided by the number of queued and running requests. Only applies when
      long_prefill_token_threshold is nonzero.
    * `:max_num_seqs` - `int or None`, default `nil`. Maximum number of sequences to be
      processed in a single iteration.

      The default value here is mainly for convenience when testing. In real usage, this
      should be set in `EngineArgs.create_engine_config`.

    * `:max_num_active_seqs` - `int or None`, default `nil`. Maximum number of requests the
      scheduler admits into RUNNING.

      `max_num_seqs` sizes the model runner (per-request buffers and CUDA graph capture) and
      is also the default admission limit. Setting this lowers only the number of requests
      that may occupy RUNNING, so decode batches stay smaller without shrinking runner or
      graph capacity. Must be `<= max_num_seqs`. `None` (default) keeps current behavior.

    * `:max_num_queued_reqs` - `int or None`, default `nil`. Maximum number of requests that can
      be in-flight (waiting or running) at the same time, or None for no limit. When the limit
      is reached, new requests are rejected with HTTP 503 so the client can retry on another
      instance. This bounds vLLM's otherwise unbounded request queue and is primarily a coarse
      capacity valve.

      Unlike `max_num_seqs`, which applies per data-parallel rank, this limit is enforced in
      the API server process and counts in-flight requests across all DP ranks it routes to.
      Size it as roughly `data_parallel_size * max_num_seqs` plus the desired queue depth if
      it should not bind before per-rank admission does.

    * `:max_num_queued_tokens` - `int or None`, default `nil`. Maximum total prompt tokens of
      requests currently in the prefill phase, or None for no limit. When the limit is reached,
      new requests are rejected with HTTP 503.

      This is a TTFT QoS mechanism: by setting it to `target_TTFT * prefill_throughput` you
      reject requests when the prefill backlog would exceed the latency target.  In a
      disaggregated prefill-decode setup this maps directly to the prefill pool's capacity.

      Like `max_num_queued_reqs`, this limit is enforced in the API server process and covers
      the prefill backlog across all DP ranks it routes to, so `prefill_throughput` in the
      formula above is the aggregate throughput of the deployment.

      Note: the count is conservative.  A partially prefilled request still contributes its
      full `prompt_len` until it transitions out of the prefill phase, because the scheduler's
      per-iteration `num_computed_tokens` progress is not propagated to the API server process
      during prefill (`EngineCoreOutput` is only emitted once the request starts producing
      tokens).  Similarly, prefix-cache hits (`num_cached_tokens`) are only known to the
      OutputProcessor after prefill completes.  This overestimates the real backlog, causing
      earlier rejection than strictly necessary — the safe direction for QoS.  The impact is
      limited to long prompts under chunked prefill; short prompts that prefill in a single
      iteration are unaffected.

    * `:max_logprobs` - `int`, default `20`. Maximum number of log probabilities to return when
      `logprobs` is specified in `SamplingParams`. The default value comes the default for the
      OpenAI Chat Completions API. -1 means no cap, i.e. all (output_length * vocab_size)
      logprobs are allowed to be returned and it may cause OOM.
    * `:logprobs_mode` - `LogprobsMode`, default `"raw_logprobs"`. Indicates the content
      returned in the logprobs and prompt_logprobs. Supported mode:

      1) raw_logprobs, 2) processed_logprobs, 3) raw_logits, 4) processed_logits. Raw means
         the values before applying any logit processors, like bad words. Processed means the
         values after applying all processors, including temperature and top_k/top_p. Note:
         for prompt_logprobs, processed_* and raw_* yield identical results because prompt
         tokens do not go through sampling processors.

      The choices: `"raw_logits"`, `"raw_logprobs"`, `"processed_logits"`,
      `"processed_logprobs"`.

    * `:use_fp64_gumbel` - `bool`, default `false`. Whether to use FP64 (instead of FP32) random
      noise for Gumbel-max and equivalent exponential-race sampling. FP64 preserves lower-tail
      sampling events that fp32 uniform/exponential draws can truncate, at the cost of
      significantly lower throughput on most GPUs.
    * `:enable_trace_replay` - `bool`, default `false`. Whether to allow requests to set
      `SamplingParams.trace_decode_token_ids`, which forces decoding to follow a predetermined
      token sequence while still computing real logprobs. Reserved for debugging and RL
      workflows: enabling it reserves a per-request trace buffer, so it is off by default.
    * `:disable_log_stats` - `bool`, default `false`. Disable logging statistics.
    * `:aggregate_engine_logging` - `bool`, default `false`. Log aggregate rather than
      per-engine statistics when using data parallelism.
    * `:revision` - `str or None`, default `nil`. The specific model version to use. It can be a
      branch name, a tag name, or a commit id. If unspecified, will use the default version.
    * `:code_revision` - `str or None`, default `nil`. The specific revision to use for the
      model code on the Hugging Face Hub. It can be a branch name, a tag name, or a commit id.
      If unspecified, will use the default version.
    * `:hf_token` - `bool or str or None`, default `nil`. The token to use as HTTP bearer
      authorization for remote files . If `True`, will use the token generated when running `hf
      auth login` (stored in `~/.cache/huggingface/token`).
    * `:hf_overrides` - `dict[str, Any] or Callable[[Any], Any]`, default `%{}`. If a
      dictionary, contains arguments to be forwarded to the Hugging Face config. If a callable,
      it is called to update the HuggingFace config.
    * `:model_class_overrides` - `dict[str, str]`, default `%{}`. Override the model class used
      for one or more architectures, mapping the architecture name to a `"module:class"` target
      (the same format accepted by `ModelRegistry.register_model`). This registers the target
      class at runtime, e.g. `{"GlmMoeDsaForCausalLM":
      "vllm.models.deepseek_v32.nvidia.model:DeepseekV32ForCausalLM"}`. This argument is for
      development and debugging purposes only.
    * `:tokenizer_revision` - `str or None`, default `nil`. The specific revision to use for the
      tokenizer on the Hugging Face Hub. It can be a branch name, a tag name, or a commit id. If
      unspecified, will use the default version.
    * `:quantization` - `str or None`, default `nil`. Method used to quantize the weights. If
      `None`, we first check the `quantization_config` attribute in the model config file. If
      that is `None`, we assume the model weights are not quantized and use `dtype` to determine
      the data type of the weights.
    * `:quantization_config` - `dict[str, Any] or QuantizationConfigArgs or None`, default
      `nil`. User-facing quantization configuration. Carries per-layer-kind QuantSpecs (linear,
      moe) and ignore patterns; see `QuantizationConfigArgs`. Auto-populated from the matching
      online shorthand when `quantization` is one of the values in
      `ONLINE_QUANT_SHORTHAND_NAMES`.
    * `:allow_deprecated_quantization` - `bool`, default `false`. Whether to allow deprecated
      quantization methods.
    * `:enforce_eager` - `bool`, default `false`. Whether to always use eager-mode PyTorch. If
      True, we will disable CUDA graph and always execute the model in eager mode. If False, we
      will use CUDA graph and eager execution in hybrid for maximal performance and flexibility.

      NOTE: This disables both `torch.compile` and CUDA graphs, and is equivalent to setting
      `-cc.mode=none -cc.cudagraph_mode=none`.

    * `:disable_custom_all_reduce` - `bool`, default `false`. Disable the custom all-reduce
      kernel and fall back to NCCL.
    * `:enable_shm_tensor_arena` - `bool`, default `false`. Route large CPU tensors (e.g.
      multimodal `pixel_values`) in the engine→worker broadcast through a zero-copy
      shared-memory arena instead of sending a copy to every reader. **Experimental**: may be
      reconciled with vLLM's existing multimodal shm tensor caching in a future release. Opt-in;
      most beneficial for multimodal serving with large images and tensor parallelism. Active
      only when all queue readers are node-local; reserves slots in `/dev/shm`.
    * `:language_model_only` - `bool`, default `false`. If True, disables all multimodal inputs
      by setting all modality limits to 0. Equivalent to setting `--limit-mm-per-prompt` to 0
      for every modality.
    * `:limit_mm_per_prompt` - `dict[str, int or dict[str, int]]`, default `:default`, which is
      `MultiModalDummyOptions()`. The maximum number of input items and options allowed per
      prompt for each modality.

      Defaults to 999 for each modality.

      Legacy format (count only): {"image": 16, "video": 2}

      Configurable format (with options): {"video": {"count": 1, "num_frames": 32, "width":
      512, "height": 512}, "image": {"count": 5, "width": 512, "height": 512}}

      Mixed format (combining both): {"image": 16, "video": {"count": 1, "num_frames": 32,
      "width": 512, "height": 512}}

    * `:enable_mm_embeds` - `bool`, default `false`. If `True`, enables passing multimodal
      embeddings: for `LLM` class, this refers to tensor inputs under `multi_modal_data`; for
      the OpenAI-compatible server, this refers to chat messages with content `"type":
      "*_embeds"`.

      When enabled with `--limit-mm-per-prompt` set to 0 for a modality, precomputed
      embeddings skip count validation for that modality, saving memory by not loading encoder
      modules while still enabling embeddings as an input. Limits greater than 0 still apply
      to embeddings.

      WARNING: The vLLM engine may crash if incorrect shape of embeddings is passed. Only
      enable this flag for trusted users!

    * `:interleave_mm_strings` - `bool`, default `false`. Enable fully interleaved support for
      multimodal prompts, while using --chat-template-content-format=string.
    * `:media_io_kwargs` - `dict[str, dict[str, Any]]`, default `%{}`. Additional args passed to
      process media inputs, keyed by modalities. For example, to set num_frames for video, set
      `--media-io-kwargs '{"video": {"num_frames": 40} }'`
    * `:mm_processor_kwargs` - `dict[str, Any] or None`, default `nil`. Arguments to be
      forwarded to the model's processor for multi-modal data, e.g., image processor. Overrides
      for the multi-modal processor obtained from `transformers.AutoProcessor.from_pretrained`.

      The available overrides depend on the model that is being run.

      For example, for Phi-3-Vision: `{"num_crops": 4}`.

    * `:mm_processor_cache_gb` - `float`, default `4`. The size (in GiB) of the multi-modal
      processor cache, which is used to avoid re-processing past multi-modal inputs.

      This cache is duplicated for each API process and engine core process, resulting in a
      total memory usage of `mm_processor_cache_gb * (api_server_count + data_parallel_size)`.

      A single processed item larger than this budget is served uncached (with a warning)
      instead of failing. Raise this value to cache such items.

      Set to `0` to disable this cache completely (not recommended).

    * `:mm_processor_cache_type` - `Literal['shm', 'lru'] or None`, default `"lru"`. Type of
      cache to use for the multi-modal preprocessor/mapper. If `shm`, use shared memory FIFO
      cache. If `lru`, use mirrored LRU cache.
    * `:mm_hasher_algorithm` - `Literal['blake3', 'sha256', 'sha512']`, default `"blake3"`. Hash
      algorithm to use for multi-modal input caching. Use `"sha256"` or `"sha512"` for
      FIPS-compliant deployments.
    * `:mm_shm_cache_max_object_size_mb` - `int`, default `128`. Size limit (in MiB) for each
      object stored in the multi-modal processor shared memory cache. Only effective when
      `mm_processor_cache_type` is `"shm"`.
    * `:mm_encoder_only` - `bool`, default `false`. When enabled, skips the language component
      of the model.

      This is usually only valid in disaggregated Encoder process.

    * `:mm_encoder_tp_mode` - `Literal['weights', 'data']`, default `"weights"`. Indicates how
      to optimize multi-modal encoder inference using tensor parallelism (TP).

      - `"weights"`: Within the same vLLM engine, split the weights of each layer across TP
        ranks. (default TP behavior)
      - `"data"`: Within the same vLLM engine, split the batched input data across TP ranks to
        process the data in parallel, while hosting the full weights on each TP rank. This
        batch-level DP is not to be confused with API request-level DP (which is controlled by
        `--data-parallel-size`). This is only supported on a per-model basis and falls back to
        `"weights"` if the encoder does not support DP.

    * `:mm_encoder_attn_backend` - `AttentionBackendEnum or str or None`, default `nil`.
      Optional override for the multi-modal encoder attention backend when using vision
      transformers. Accepts any value from
      `vllm.v1.attention.backends.registry.AttentionBackendEnum` (e.g. `FLASH_ATTN`).
    * `:mm_encoder_attn_dtype` - `str or None`, default `nil`. Optional dtype override for ViT
      encoder attention. Set to `"fp8"` to enable FP8 quantization via the FlashInfer cuDNN
      backend. When set to `"fp8"` without a scale file, dynamic scaling is used automatically.
      See docs/features/quantization/fp8_vit_attn.md for details.
    * `:mm_encoder_fp8_scale_path` - `str or None`, default `nil`. Path to a JSON file
      containing per-layer FP8 Q/K/V scales for ViT encoder attention. When provided (with
      `mm_encoder_attn_dtype="fp8"`), static scaling is used. When omitted, dynamic scaling is
      used.
    * `:mm_encoder_fp8_scale_save_path` - `str or None`, default `nil`. When set with dynamic
      FP8 scaling (`mm_encoder_attn_dtype="fp8"` and no `mm_encoder_fp8_scale_path`), saves the
      calibrated scales to this file after the amax history buffer is full. The saved file can
      then be used as `mm_encoder_fp8_scale_path` in subsequent runs.
    * `:mm_encoder_fp8_scale_save_margin` - `float`, default `1.5`. Safety margin multiplied
      onto scales when auto-saving. A value > 1 leaves headroom so that inputs with larger
      activations than the calibration set do not overflow FP8 range. Default 1.5.
    * `:io_processor_plugin` - `str or None`, default `nil`. IOProcessor plugin name to load at
      model startup
    * `:renderer_num_workers` - `int`, default `1`. Number of worker threads in the renderer
      thread pool. The pool is consumed by the async renderer path (e.g. the OpenAI-compatible
      API server started by `vllm serve`) to parallelize tokenization, chat template rendering,
      and multimodal preprocessing across concurrent requests.

      The offline `LLM` entrypoint uses the synchronous renderer path and processes prompts
      (including multimodal preprocessing) serially, so this setting has no effect there.

    * `:skip_mm_profiling` - `bool`, default `false`. When enabled, skips multimodal memory
      profiling and only profiles with language backbone model during engine initialization.

      This reduces engine startup time but shifts the responsibility to users for estimating
      the peak memory usage of the activation of multimodal encoder and embedding cache.

    * `:video_pruning_rate` - `float or None`, default `nil`. Fraction of video tokens to prune
      from each video. Value sits in range [0;1); pruning is enabled when it is greater than 0.
      The pruning algorithm is selected by `video_pruning_method`.
    * `:video_pruning_method` - `str`, default `"evs"`. Video token pruning algorithm applied
      when `video_pruning_rate` > 0:

      - "evs": Efficient Video Sampling.
      - "vidcom2": Video Compression Commander.

    * `:mm_tensor_ipc` - `Literal['direct_rpc', 'torch_shm']`, default `"direct_rpc"`. IPC
      (inter-process communication) method for multimodal tensors.

      - "direct_rpc": Use msgspec serialization via RPC
      - "torch_shm": Use torch.multiprocessing shared memory for zero-copy IPC Defaults to
        "direct_rpc".

    * `:mm_processor_device` - `str`, default `"auto"`. Device the HF multi-modal processor runs
      the image/video transform on. Convenience for `--mm-processor-kwargs '{"device": ...}'`:
      the value is resolved here and stored there, it is not kept as separate state. Only takes
      effect for HF "fast" (torchvision-backed) processors, which accept a `device` argument;
      the others ignore it and stay on CPU.

      "auto" uses the accelerator on encoder instances of an encode/prefill/decode deployment
      -- an EC producer that is not also a consumer allocates no KV cache, so its accelerator
      is not contended by the language model -- and then only when `--mm-tensor-ipc=torch_shm`
      can carry device tensors, since every other transport would copy the result back to the
      host and that copy costs more than it saves. "auto" resolves to "cpu" everywhere else.

    * `:mm_ipc_gpu_memory_gb` - `float`, default `0`. Amount of GPU memory (in GiB) sequestered
      on the engine's device for GPU-side multimodal work in the API-server (frontend) process,
      such as hardware video decoding.

      This budget is carved out of the engine's KV-cache memory so the headroom physically
      exists, and frontend GPU decode paths acquire from a blocking byte-counting semaphore of
      this size before allocating on the device.

      Set to `0` (default) to disable frontend GPU multimodal memory gating.

    * `:mm_device_do_normalize` - `bool or None`, default `true`. Move the do_normalize
      computation in the mm preprocessing to before the ViT, and let the device do it, so that
      CPU computation can be saved.
    * `:enable_lora` - `bool`, default `false`. If True, enable handling of LoRA adapters.
    * `:max_loras` - `int`, default `1`. Max number of LoRAs in a single batch.
    * `:max_lora_rank` - `Literal[1, 8, 16, 32, 64, 128, 256, 320, 512]`, default `16`. Max LoRA
      rank.
    * `:default_mm_loras` - `dict[str, str] or None`, default `nil`. Dictionary mapping specific
      modalities to LoRA model paths; this field is only applicable to multimodal models and
      should be leveraged when a model always expects a LoRA to be active when a given modality
      is present. Note that currently, if a request provides multiple additional modalities,
      each of which have their own LoRA, we do NOT apply default_mm_loras because we currently
      only support one lora adapter per prompt. When run in offline mode, the lora IDs for n
      modalities will be automatically assigned to 1-n with the names of the modalities in
      alphabetic order.
    * `:fully_sharded_loras` - `bool`, default `false`. By default, only half of the LoRA
      computation is sharded with tensor parallelism. Enabling this will use the fully sharded
      layers. At high sequence length, max rank or tensor parallel size, this is likely faster.
    * `:max_cpu_loras` - `int or None`, default `nil`. Maximum number of LoRAs to store in CPU
      memory. Must be >= than `max_loras`.
    * `:lora_dtype` - `str or dtype or None`, default `"auto"`. Data type for LoRA. If auto,
      will default to base model dtype.
    * `:lora_target_modules` - `list[str] or None`, default `nil`. Restrict LoRA to specific
      module suffixes (e.g., ["o_proj", "qkv_proj"]). If None, all supported LoRA modules are
      used. This allows deployment-time control over which modules have LoRA applied, useful for
      performance tuning.
    * `:enable_tower_connector_lora` - `bool`, default `false`. If `True`, LoRA support for the
      tower (vision encoder) and connector of multimodal models will be enabled. This is an
      experimental feature and currently only supports some MM models such as the Qwen VL
      series. The default is False.
    * `:specialize_active_lora` - `bool`, default `false`. Whether to construct lora kernel grid
      by the number of active LoRA adapters. When set to True, separate cuda graphs will be
      captured for different counts of active LoRAs (powers of 2 up to max_loras), which can
      improve performance for variable LoRA usage patterns at the cost of increased startup time
      and memory usage. Only takes effect when cudagraph_specialize_lora is True.
    * `:enable_mixed_moe_lora_format` - `bool`, default `false`. If True, force the engine to
      use the universal 2D MoE LoRA wrapper (`FusedMoEWithLoRA`) regardless of the model's
      `is_3d_moe_weight` flag, so that 2D-format and 3D-format MoE LoRA adapters can be served
      in the same deployment. Only meaningful for MoE models; ignored otherwise. Default False
      keeps the existing model-driven behavior.
    * `:enable_moe_shared_loras` - `bool`, default `false`. If True, load MoE expert adapters in
      the "shared-outer" layout, where the gate/up (`w1`/`w3`) lora_A and the down (`w2`) lora_B
      are shared across all experts (stored once with expert-dim 1) instead of per-expert. The
      shared factors are broadcast to the expert count at kernel time. 3D-weight MoE models use
      `FusedMoEWithLoRA` for this layout. Only meaningful for MoE models whose adapters use this
      layout; ignored otherwise.
    * `:max_lora_cls_labels` - `int or None`, default `nil`. Maximum output size for LoRA
      classification heads. Defaults to the base classification head size.
    * `:ray_workers_use_nsight` - `bool`, default `false`. Whether to profile Ray workers with
      nsight, see
      https://docs.ray.io/en/latest/ray-observability/user-guides/profiling.html#profiling-nsight-profiler.
    * `:num_gpu_blocks_override` - `int or None`, default `nil`. Number of GPU blocks to use.
      This overrides the profiled `num_gpu_blocks` if specified. Does nothing if `None`. Used
      for testing preemption.
    * `:model_loader_extra_config` - `dict`, default `%{}`. Extra config for model loader. This
      will be passed to the model loader corresponding to the chosen load_format.
    * `:ignore_patterns` - `str or list[str]`, default `["original/**/*"]`. The list of patterns
      to ignore when loading the model. Default to "original/**/*" to avoid repeated loading of
      llama's checkpoints.
    * `:enable_chunked_prefill` - `bool or None`, default `nil`. If True, prefill requests can
      be chunked based on the remaining `max_num_batched_tokens`.

      The default value here is mainly for convenience when testing. In real usage, this
      should be set in `EngineArgs.create_engine_config`.

    * `:disable_chunked_mm_input` - `bool`, default `false`. If set to true and chunked prefill
      is enabled, we do not want to partially schedule a multimodal item. Only used in V1 This
      ensures that if a request has a mixed prompt (like text tokens TTTT followed by image
      tokens IIIIIIIIII) where only some image tokens can be scheduled (like TTTTIIIII, leaving
      IIIII), it will be scheduled as TTTT in one step and IIIIIIIIII in the next.
    * `:scheduler_reserve_full_isl` - `bool`, default `true`. If True, the scheduler checks
      whether the full input sequence length fits in the KV cache before admitting a new
      request, rather than only checking the first chunk. Prevents over-admission and KV cache
      thrashing with chunked prefill.
    * `:prefill_schedule_interval` - `int`, default `1`. For data-parallel deployments, only
      admit new prefill requests once every N engine steps, aligned across DP ranks, to better
      balance per-step forward-pass times.
    * `:watermark` - `float`, default `0.0`. Fraction of total KV cache blocks to keep free (the
      watermark) when admitting waiting or preempted requests into the running queue. This
      headroom helps avoid frequent KV cache eviction and the resulting repeated preemption of
      requests when GPU memory is scarce. Must be in the range [0.0, 1.0); 0.0 (the default)
      disables the watermark.
    * `:disable_hybrid_kv_cache_manager` - `bool or None`, default `nil`. If set to True, KV
      cache manager will allocate the same size of KV cache for all attention layers even if
      there are multiple type of attention layers like full attention and sliding window
      attention. If set to None, the default value will be determined based on the environment
      and starting configuration.
    * `:structured_outputs_config` - `StructuredOutputsConfig`, default `:default`, which is
      `StructuredOutputsConfig()`. Structured outputs configuration.
    * `:aux_output_config` - `AuxOutputConfig`, default `:default`, which is
      `AuxOutputConfig()`. Execution auxiliary output configuration.
    * `:reasoning_parser` - `str`, default `""`. Select the reasoning parser depending on the
      model that you're using. This is used to parse the reasoning content into OpenAI API
      format.
    * `:reasoning_parser_plugin` - `str or None`, default `nil`. Path to a dynamically reasoning
      parser plugin that can be dynamically loaded and registered.
    * `:speculative_config` - `dict[str, Any] or None`, default `nil`. Speculative decoding
      configuration.
    * `:spec_method` - `str or None`, default `nil`. Short for the `method` of
      `speculative_config`.
    * `:spec_model` - `str or None`, default `nil`. Short for the `model` of
      `speculative_config`.
    * `:spec_tokens` - `int or None`, default `nil`. Short for the `num_speculative_tokens` of
      `speculative_config`.
    * `:watermark_config` - `dict[str, Any] or None`, default `nil`. Text watermarking
      configuration.
    * `:diffusion_config` - `dict[str, Any] or None`, default `nil`. Diffusion LLM (dLLM)
      configuration.
    * `:show_hidden_metrics_for_version` - `str or None`, default `nil`. Enable deprecated
      Prometheus metrics that have been hidden since the specified version. For example, if a
      previously deprecated metric has been hidden since the v0.7.0 release, you use
      `--show-hidden-metrics-for-version=0.7` as a temporary escape hatch while you migrate to
      new metrics. The metric is likely to be removed completely in an upcoming release.
    * `:otlp_traces_endpoint` - `str or None`, default `nil`. Target URL to which OpenTelemetry
      traces will be sent.
    * `:collect_detailed_traces` - `list[Literal['model', 'worker', 'all']] or None`, default
      `nil`. It makes sense to set this only if `--otlp-traces-endpoint` is set. If set, it will
      collect detailed traces for the specified modules. This involves use of possibly costly
      and or blocking operations and hence might have a performance impact.

      Note that collecting detailed timing information for each request can be expensive.

    * `:per_request_spec_decode_metrics` - `Literal['none', 'summary', 'detailed']`, default
      `"none"`. Include per-request speculative-decoding acceptance metrics in the response
      under `metrics.speculative_decoding`. `none` disables; `summary` adds mean acceptance
      length, draft acceptance rate, and the step-by-draft-length histogram; `detailed`
      additionally records the ordered per-step accepted/proposed arrays (one entry per verify
      step). Only reported for single-sequence requests (`n == 1`), mirroring the timing
      metrics. No effect unless speculative decoding is enabled. Independent of
      `--disable-log-stats`. This is the per-request response-body counterpart of the aggregate
      `vllm:spec_decode_*` Prometheus metrics. The response field is experimental and its shape
      may change in a future release.
    * `:kv_cache_metrics` - `bool`, default `false`. Enable KV cache residency metrics
      (lifetime, idle time, reuse gaps). Uses sampling to minimize overhead. Requires log stats
      to be enabled (i.e., --disable-log-stats not set).
    * `:kv_cache_metrics_sample` - `float`, default `0.01`. Sampling rate for KV cache metrics
      (0.0, 1.0]. Default 0.01 = 1% of blocks.
    * `:custom_histogram_buckets` - `dict[str, list[float]] or None`, default `nil`. Custom
      Prometheus histogram bucket boundaries, as a JSON mapping from bucket-family key to a list
      of strictly increasing, positive, finite upper bounds. When a family key is present, its
      list replaces the default buckets for every histogram in that family; families not listed
      keep their defaults. Known families: `request_latency`, `time_to_first_token`,
      `inter_token_latency`, `iteration_tokens`, `request_params_n`, `request_num_preemptions`,
      `request_tokens`, `kv_cache_residency`. Example: `--custom-histogram-buckets
      '{"request_latency": [0.01, 0.05, 0.1, 0.5]}'`. Note that every extra bucket adds one time
      series per metric and label set.
    * `:cudagraph_metrics` - `bool`, default `false`. Enable CUDA graph metrics (number of
      padded/unpadded tokens, runtime cudagraph dispatch modes, and their observed frequencies
      at every logging interval).
    * `:enable_layerwise_nvtx_tracing` - `bool`, default `false`. Enable layerwise NVTX tracing.
      This traces the execution of each layer or module in the model and attach information such
      as input/output shapes to nvtx range markers. Noted that this doesn't work with CUDA
      graphs enabled.
    * `:enable_mfu_metrics` - `bool`, default `false`. Enable Model FLOPs Utilization (MFU)
      metrics.
    * `:enable_logging_iteration_details` - `bool`, default `false`. Enable detailed logging of
      iteration details. If set, vllm EngineCore will log iteration details This includes number
      of context/generation requests and tokens and the elapsed cpu time for the iteration.
    * `:jit_monitor_mode` - `Literal['warn', 'error']`, default `"warn"`. How to handle
      post-warmup JIT compilation events.
    * `:jit_monitor_verbose` - `bool`, default `false`. Log every monitored JIT compile with
      runtime details. This can emit many logs and add overhead, so it is intended for
      debugging.
    * `:enable_mm_processor_stats` - `bool`, default `false`. Enable collection of timing
      statistics for multimodal processor operations. This is for internal use only (e.g.,
      benchmarks) and is not exposed as a CLI argument.
    * `:scheduling_policy` - `Literal['fcfs', 'priority']`, default `"fcfs"`. The scheduling
      policy to use:

      - "fcfs" means first come first served, i.e. requests are handled in order of arrival.
      - "priority" means requests are handled based on given priority (lower value means
        earlier handling) and time of arrival deciding any ties).

    * `:scheduler_cls` - `str or type[object] or None`, default `nil`. The scheduler class to
      use. "vllm.v1.core.sched.scheduler.Scheduler" is the default scheduler. Can be a class
      directly or the path to a class of form "mod.custom_class".
    * `:pooler_config` - `PoolerConfig or None`, default `nil`. Pooler config which controls the
      behaviour of output pooling in pooling models.
    * `:compilation_config` - `CompilationConfig`, default `:default`, which is
      `CompilationConfig()`. `torch.compile` and cudagraph capture configuration for the model.

      As a shorthand, one can append compilation arguments via -cc.parameter=argument such as
      `-cc.mode=3` (same as `-cc='{"mode":3}'`).

      You can specify the full compilation config like so: `{"mode": 3,
      "cudagraph_capture_sizes": [1, 2, 4, 8]}`

    * `:attention_config` - `AttentionConfig`, default `:default`, which is `AttentionConfig()`.
      Attention configuration.
    * `:engram_config` - `EngramConfig or None`, default `nil`. N-gram embedding storage and
      sharding settings.
    * `:mamba_config` - `MambaConfig`, default `:default`, which is `MambaConfig()`. Mamba
      configuration.
    * `:kernel_config` - `KernelConfig`, default `:default`, which is `KernelConfig()`. Kernel
      configuration.
    * `:enable_flashinfer_autotune` - `bool`, default `nil`. If True, run FlashInfer autotuning
      during kernel warmup.
    * `:worker_cls` - `str`, default `"auto"`. The full name of the worker class to use. If
      "auto", the worker class will be determined based on the platform.
    * `:worker_extension_cls` - `str`, default `""`. The full name of the worker extension class
      to use. The worker extension class is dynamically inherited by the worker class. This is
      used to inject new attributes and methods to the worker class for use in collective_rpc
      calls.
    * `:profiler_config` - `ProfilerConfig`, default `:default`, which is `ProfilerConfig()`.
      Profiling configuration.
    * `:logging_config` - `LoggingConfig or None`, default `nil`. Logging configuration.
    * `:log_level` - `LogLevel or None`, default `nil`. Shortcut for --logging-config.log_level.
      Overrides that field if both are specified.

      The choices: `"CRITICAL"`, `"ERROR"`, `"WARNING"`, `"INFO"`, `"DEBUG"`, `"NOTSET"`.

    * `:log_config_file` - `str or None`, default `nil`. Deprecated in vLLM: a logging
      configuration file.
    * `:kv_transfer_config` - `KVTransferConfig or None`, default `nil`. The configurations for
      distributed KV cache transfer.
    * `:kv_events_config` - `KVEventsConfig or None`, default `nil`. The configurations for
      event publishing.
    * `:ec_transfer_config` - `ECTransferConfig or None`, default `nil`. The configurations for
      distributed EC cache transfer.
    * `:ec_manager_config` - `EncoderCacheManagerConfig`, default `:default`, which is
      `EncoderCacheManagerConfig()`. The configurations for custom encoder cache manager.
    * `:reasoning_config` - `ReasoningConfig`, default `nil`. The configurations for reasoning
      model.
    * `:generation_config` - `str`, default `"auto"`. The folder path to the generation config.
      Defaults to `"auto"`, the generation config will be loaded from model path. If set to
      `"vllm"`, no generation config is loaded, vLLM defaults will be used. If set to a folder
      path, the generation config will be loaded from the specified folder path. If
      `max_new_tokens` is specified in generation config, then it sets a server-wide limit on
      the number of output tokens for all requests.
    * `:enable_sleep_mode` - `bool`, default `false`. Enable sleep mode for the engine (only
      cuda and hip platforms are supported).
    * `:sleep_mode_offload_cudagraph` - `bool`, default `false`. Back up CUDA graph memory to
      CPU during sleep, restored in place on wake. Takes effect with enable_sleep_mode, the
      cumem backend and CUDA graphs.
    * `:sleep_preserve_parameter_names` - `list[str]`, default `[]`. Parameter-name globs to
      preserve across level-2 sleep. Use target globs for frozen Engram table weights and scales
      omitted by the trainer (e.g. `*.engram.embed_tokens.weight*`). Use `draft.<name>` for
      draft-private parameters, or `draft.*` for all. The sender must omit these parameters;
      loaders must preserve their storage.
    * `:enable_cumem_allocator` - `bool`, default `false`. Enable the custom cumem allocator to
      leverage advanced GPU memory allocation features such as multi-node NVLink support.

      Sleep mode automatically enables this allocator. Only cuda and hip platforms are
      supported.

    * `:enable_nccl_comm_suspend` - `bool`, default `false`. Enable releasing NCCL communicator
      memory during sleep mode (`ncclCommSuspend`/`ncclCommResume`). Experimental; when disabled
      (the default) sleep still releases weights/KV-cache memory as before.
    * `:override_generation_config` - `dict[str, Any]`, default `%{}`. Overrides or sets
      generation config. e.g. `{"temperature": 0.5}`. If used with `--generation-config auto`,
      the override parameters will be merged with the default config from the model. If used
      with `--generation-config vllm`, only the override parameters are used.
    * `:model_impl` - `str`, default `"auto"`. Which implementation of the model to use:

      - "auto" will try to use the vLLM implementation, if it exists, and fall back to the
        Transformers implementation if no vLLM implementation is available.
      - "vllm" will use the vLLM model implementation.
      - "transformers" will use the Transformers model implementation.
      - "terratorch" will use the TerraTorch model implementation.

    * `:attention_backend` - `AttentionBackendEnum or None`, default `nil`. Attention backend to
      use. Use "auto" or None for automatic selection.
    * `:kv_cache_dtype_skip_layers` - `list[str]`, default `[]`. Layer patterns to skip KV cache
      quantization. Accepts layer indices (e.g., '0', '2', '4') or attention type names (e.g.,
      'sliding_window').
    * `:mamba_cache_dtype` - `Literal['auto', 'float32', 'float16', 'bfloat16']`, default
      `"auto"`. The data type to use for the Mamba cache (both the conv as well as the ssm
      state). If set to 'auto', the data type will be inferred from the model config.
    * `:mamba_ssm_cache_dtype` - `Literal['auto', 'float32', 'float16', 'bfloat16']`, default
      `"auto"`. The data type to use for the Mamba cache (ssm state only, conv state will still
      be controlled by mamba_cache_dtype). If set to 'auto', the data type for the ssm state
      will be determined by mamba_cache_dtype.
    * `:mamba_block_size` - `int or None`, default `nil`. Size of a contiguous cache block in
      number of tokens for mamba cache. Can be set only when prefix caching is enabled. Value
      must be a multiple of 8 to align with causal_conv1d kernel.
    * `:prefix_match_unit` - `int or None`, default `nil`. The finest token boundary (in tokens)
      a prefix-cache hit can land on.

      Prefix-cache keys are computed every `prefix_match_unit` tokens. It can be set finer
      than the physical KV cache block sizes (e.g. 32 vs a 1024-token hybrid-model block) as
      long as every KV cache group's `block_size` is divisible by it, enabling cache hits at
      boundaries inside a physical block. It controls matching granularity only, not how often
      states are stored.

      This equals to the `hash_block_size` used throughout the KV cache code.

    * `:mamba_cache_mode` - `Literal['align', 'none']`, default `"none"`. The cache strategy for
      Mamba layers:

      - "none": set when prefix caching is disabled.
      - "align": only cache the mamba state of the last token of each scheduler step and when
        the token is at position i * block_size. This is the default when prefix caching is
        enabled.

    * `:enable_mamba_shared_prefix_checkpoint` - `bool`, default `false`. Also register a Mamba
      "align" checkpoint at the shared-prefix junction -- where an EAGLE/MTP sibling was
      observed to resume -- instead of only at the prompt tail. Off by default; only takes
      effect with `mamba_cache_mode` "align", EAGLE on the Mamba group, and a prefix match unit
      smaller than the Mamba block size.
    * `:replayssm_buffer_len` - `int`, default `16`. ReplaySSM logical history length B for
      Mamba2. Triton uses B physical rows and FlashInfer uses B+T, where T is the target
      verification length. Kimi-K3 speculative decode does not use B. Default 16.
    * `:use_replayssm` - `bool`, default `false`. Use the ReplaySSM Mamba2 decode kernel: cache
      recent SSM inputs and skip the per-step full-state store, writing the checkpoint back only
      on flush. Requires mamba_cache_mode 'none' or 'align' (prefix caching) and the Triton or
      FlashInfer mamba backend. Mamba2 speculative decode requires FlashInfer and
      mamba_cache_mode 'none'. In align mode flushes are most efficient when mamba_block_size is
      a multiple of replayssm_buffer_len, but this is not required.
    * `:mamba_backend` - `MambaBackendEnum`, default `:TRITON`. Backend of the Mamba selective
      state update.
    * `:mamba_ssu_algorithm` - `Literal['auto', 'simple', 'vertical', 'horizontal'] or None`,
      default `nil`. Algorithm of the Mamba selective state update.
    * `:enable_mamba_cache_stochastic_rounding` - `bool`, default `false`. Enable stochastic
      rounding when writing SSM state to fp16 cache. Uses random bits to unbias the rounding
      error, which can improve numerical stability for long sequences.
    * `:mamba_cache_philox_rounds` - `int`, default `0`. Number of Philox PRNG rounds for
      stochastic rounding random number generation. 0 uses the Triton default. Higher values
      improve randomness quality at the cost of compute.
    * `:additional_config` - `dict[str, Any]`, default `%{}`. Additional config for specified
      platform. Different platforms may support different configs. Make sure the configs are
      valid for the platform you are using. Contents must be hashable.
    * `:use_tqdm_on_load` - `bool`, default `true`. Whether to enable tqdm for showing progress
      bar when loading model weights.
    * `:pt_load_map_location` - `str or dict[str, str]`, default `"cpu"`. The map location for
      loading pytorch checkpoint, to support loading checkpoints can only be loaded on certain
      devices like "cuda", this is equivalent to `{"": "cuda"}`. Another supported format is
      mapping from different devices like from GPU 1 to GPU 0: `{"cuda:1": "cuda:0"}`. Note that
      when passed from command line, the strings in dictionary need to be double quoted for json
      parsing. For more details, see the original doc for `map_location` parameter in
      [`torch.load`][] parameter.
    * `:logits_processors` - `list[str or type[LogitsProcessor]] or None`, default `nil`. Custom
      logitproc types
    * `:async_scheduling` - `bool or None`, default `nil`. If set to False, disable async
      scheduling. Async scheduling helps to avoid gaps in GPU utilization, leading to better
      latency and throughput.
    * `:stream_interval` - `int`, default `1`. The interval (or buffer size) for streaming in
      terms of token length. A smaller value (1) makes streaming smoother by sending each token
      immediately, while a larger value (e.g., 10) reduces host overhead and may increase
      throughput by batching multiple tokens before sending.
    * `:kv_sharing_fast_prefill` - `bool`, default `false`. In some KV sharing setups, e.g. YOCO
      (https://arxiv.org/abs/2405.05254), some layers can skip tokens corresponding to prefill.
      This flag enables attention metadata for eligible layers to be overridden with metadata
      necessary for implementing this optimization in some models (e.g. Gemma3n)
    * `:swa_bounded_replay` - `bool`, default `true`. Keep the sliding-window KV of models that
      support it (DeepSeek-V4.1) out of prefix caching and rebuild it after a prefix hit by
      recomputing the hit's last window. The layers past the last KV-source layer then also run
      eager prefill steps on each request's trailing window only. Requires model runner V2.
    * `:optimization_level` - `OptimizationLevel`, default `:O2`. The optimization level. These
      levels trade startup time cost for performance, with -O0 having the best startup time and
      -O3 having the best performance. -O2 is used by default. See OptimizationLevel for full
      description.
    * `:performance_mode` - `Literal['balanced', 'interactivity', 'throughput']`, default
      `"balanced"`. Performance mode for runtime behavior, 'balanced' is the default.
      'interactivity' favors low end-to-end per-request latency at small batch sizes
      (fine-grained CUDA graphs, latency-oriented kernels). 'throughput' favors aggregate
      tokens/sec at high concurrency (larger CUDA graphs, more aggressive batching,
      throughput-oriented kernels).
    * `:fault_tolerance_config` - `FaultToleranceConfig`, default `:default`, which is
      `FaultToleranceConfig()`. The configurations for fault tolerance.
    * `:enable_fault_tolerance` - `bool`, default `false`. Enable fault tolerance for detailed
      error recovery, such as scaling down fault DPEngineCore.
    * `:kv_offloading_size` - `float or None`, default `nil`. Size of the KV cache offloading
      buffer in GiB. When TP > 1, this is the total buffer size summed across all TP ranks. By
      default, this is set to None, which means no KV offloading is enabled. When set, vLLM will
      enable KV cache offloading to CPU using the kv_offloading_backend.
    * `:kv_offloading_backend` - `Literal['native', 'lmcache']`, default `"native"`. The backend
      to use for KV cache offloading. Supported backends include 'native' (vLLM native CPU
      offloading), 'lmcache'. KV offloading is only activated when kv_offloading_size is set.
    * `:tokens_only` - `bool`, default `false`. Whether the server works on token ids alone,
      without a tokenizer.
    * `:shutdown_timeout` - `int`, default `0`. Shutdown grace period for in-flight requests.
      Shutdown will be delayed for up to this amount of time to allow already-running requests
      to complete. Any remaining requests are aborted once the timeout is reached.
    * `:weight_transfer_config` - `WeightTransferConfig or None`, default `nil`. The
      configurations for weight transfer during RL training.
    * `:fail_on_environ_validation` - `bool`, default `false`. If set, the engine will raise an
      error if environment validation fails.
    * `:gdn_prefill_backend` - `Literal['flashinfer', 'triton', 'cutedsl', 'aiter_flydsl'] or
      None`, default `nil`. Select GDN prefill backend.
    * `:kda_prefill_backend` - `Literal['auto', 'triton', 'flashkda', 'flashinfer', 'fused'] or
      None`, default `nil`. Select KDA prefill backend. 'flashkda' is CUDA-only and 'fused' is
      ROCm-only; 'auto' picks a supported backend.
    * `:kda_decode_backend` - `Literal['auto', 'native', 'flashinfer', 'triton'] or None`,
      default `nil`. Select KDA decode backend.
    * `:enable_log_requests` - `bool`, default `false`. Enable logging request information,
      dependent on log level:

      - INFO: Request ID, parameters and LoRA request.
      - DEBUG: Prompt inputs (e.g: text, token IDs). You can set the minimum log level via
        `VLLM_LOGGING_LEVEL`.
  """

  alias Vllm.{Call, Error, Ref}

  @typep worker :: Vllm.instance() | Ref.t()

  @type t :: %__MODULE__{
          model: String.t(),
          enable_return_routed_experts: boolean(),
          return_sampling_mask: boolean(),
          model_weights: String.t(),
          served_model_name: String.t() | [String.t()] | nil,
          tokenizer: String.t() | nil,
          hf_config_path: String.t() | nil,
          runner: String.t(),
          convert: String.t(),
          skip_tokenizer_init: boolean(),
          enable_prompt_embeds: boolean(),
          tokenizer_mode: String.t(),
          trust_remote_code: boolean(),
          allowed_local_media_path: String.t(),
          allowed_media_domains: [String.t()] | nil,
          download_dir: String.t() | nil,
          safetensors_load_strategy: String.t() | nil,
          safetensors_prefetch_num_threads: integer(),
          safetensors_prefetch_block_size: integer(),
          load_format: String.t(),
          config_format: String.t(),
          dtype: String.t(),
          kv_cache_dtype: String.t(),
          seed: integer(),
          max_model_len: integer() | nil,
          cudagraph_capture_sizes: [integer()] | nil,
          max_cudagraph_capture_size: integer() | nil,
          ir_op_priority: term(),
          distributed_executor_backend: term(),
          pipeline_parallel_size: integer(),
          master_addr: String.t(),
          master_port: integer(),
          nnodes: integer(),
          node_rank: integer(),
          distributed_timeout_seconds: integer() | nil,
          cpu_distributed_timeout_seconds: integer() | nil,
          numa_bind: boolean(),
          numa_bind_nodes: [integer()] | nil,
          numa_bind_cpus: [String.t()] | nil,
          device_ids: [integer() | String.t()] | nil,
          tensor_parallel_size: integer(),
          prefill_context_parallel_size: integer(),
          decode_context_parallel_size: integer(),
          dcp_comm_backend: String.t() | nil,
          dcp_q_replicate: boolean() | nil,
          dcp_kv_cache_interleave_size: integer(),
          cp_kv_cache_interleave_size: integer() | nil,
          data_parallel_size: integer(),
          data_parallel_rank: integer() | nil,
          data_parallel_start_rank: integer() | nil,
          data_parallel_size_local: integer() | nil,
          data_parallel_address: String.t() | nil,
          data_parallel_rpc_port: integer() | nil,
          data_parallel_hybrid_lb: boolean(),
          data_parallel_external_lb: boolean(),
          data_parallel_multi_port_external_lb: boolean(),
          data_parallel_backend: String.t(),
          enable_hc_sp: boolean(),
          enable_expert_parallel: boolean(),
          enable_batch_sharded_sampling: boolean() | nil,
          enable_ep_weight_filter: boolean(),
          moe_backend: String.t(),
          linear_backend: String.t(),
          sparse_indexer_topk_backend: String.t(),
          all2all_backend: String.t(),
          enable_elastic_ep: boolean(),
          elastic_ep_max_dp_size: integer() | nil,
          enable_dbo: boolean(),
          ubatch_size: integer(),
          dbo_decode_token_threshold: integer(),
          dp_sync_interval: integer(),
          dbo_prefill_token_threshold: integer(),
          disable_nccl_for_dp_synchronization: boolean() | nil,
          eplb_config: term(),
          enable_eplb: boolean(),
          expert_placement_strategy: String.t(),
          max_parallel_loading_workers: integer() | nil,
          block_size: integer() | nil,
          enable_prefix_caching: boolean() | nil,
          prefix_caching_hash_algo: String.t(),
          prefix_cache_retention_interval: integer() | nil,
          disable_sliding_window: boolean(),
          disable_cascade_attn: boolean() | nil,
          offload_backend: String.t(),
          cpu_offload_gb: number(),
          cpu_offload_params: MapSet.t(String.t()) | :default,
          offload_group_size: integer(),
          offload_num_in_group: integer(),
          offload_prefetch_step: integer(),
          offload_params: MapSet.t(String.t()) | :default,
          gpu_memory_utilization: number(),
          kv_cache_memory_bytes: integer() | nil,
          max_num_batched_tokens: integer() | nil,
          max_num_scheduled_tokens: integer() | nil,
          long_prefill_token_threshold: integer(),
          long_prefill_token_threshold_adaptive: boolean(),
          max_num_seqs: integer() | nil,
          max_num_active_seqs: integer() | nil,
          max_num_queued_reqs: integer() | nil,
          max_num_queued_tokens: integer() | nil,
          max_logprobs: integer(),
          logprobs_mode: String.t(),
          use_fp64_gumbel: boolean(),
          enable_trace_replay: boolean(),
          disable_log_stats: boolean(),
          aggregate_engine_logging: boolean(),
          revision: String.t() | nil,
          code_revision: String.t() | nil,
          hf_token: boolean() | String.t() | nil,
          hf_overrides: term(),
          model_class_overrides: %{optional(String.t()) => String.t()},
          tokenizer_revision: String.t() | nil,
          quantization: String.t() | nil,
          quantization_config: term(),
          allow_deprecated_quantization: boolean(),
          enforce_eager: boolean(),
          disable_custom_all_reduce: boolean(),
          enable_shm_tensor_arena: boolean(),
          language_model_only: boolean(),
          limit_mm_per_prompt:
            %{optional(String.t()) => integer() | %{optional(String.t()) => integer()}} | :default,
          enable_mm_embeds: boolean(),
          interleave_mm_strings: boolean(),
          media_io_kwargs: %{optional(String.t()) => %{optional(String.t()) => term()}},
          mm_processor_kwargs: %{optional(String.t()) => term()} | nil,
          mm_processor_cache_gb: number(),
          mm_processor_cache_type: String.t() | nil,
          mm_hasher_algorithm: String.t(),
          mm_shm_cache_max_object_size_mb: integer(),
          mm_encoder_only: boolean(),
          mm_encoder_tp_mode: String.t(),
          mm_encoder_attn_backend: Vllm.AttentionBackendEnum.t() | String.t() | nil,
          mm_encoder_attn_dtype: String.t() | nil,
          mm_encoder_fp8_scale_path: String.t() | nil,
          mm_encoder_fp8_scale_save_path: String.t() | nil,
          mm_encoder_fp8_scale_save_margin: number(),
          io_processor_plugin: String.t() | nil,
          renderer_num_workers: integer(),
          skip_mm_profiling: boolean(),
          video_pruning_rate: number() | nil,
          video_pruning_method: String.t(),
          mm_tensor_ipc: String.t(),
          mm_processor_device: String.t(),
          mm_ipc_gpu_memory_gb: number(),
          mm_device_do_normalize: boolean() | nil,
          enable_lora: boolean(),
          max_loras: integer(),
          max_lora_rank: 1 | 8 | 16 | 32 | 64 | 128 | 256 | 320 | 512,
          default_mm_loras: %{optional(String.t()) => String.t()} | nil,
          fully_sharded_loras: boolean(),
          max_cpu_loras: integer() | nil,
          lora_dtype: term(),
          lora_target_modules: [String.t()] | nil,
          enable_tower_connector_lora: boolean(),
          specialize_active_lora: boolean(),
          enable_mixed_moe_lora_format: boolean(),
          enable_moe_shared_loras: boolean(),
          max_lora_cls_labels: integer() | nil,
          ray_workers_use_nsight: boolean(),
          num_gpu_blocks_override: integer() | nil,
          model_loader_extra_config: map(),
          ignore_patterns: String.t() | [String.t()],
          enable_chunked_prefill: boolean() | nil,
          disable_chunked_mm_input: boolean(),
          scheduler_reserve_full_isl: boolean(),
          prefill_schedule_interval: integer(),
          watermark: number(),
          disable_hybrid_kv_cache_manager: boolean() | nil,
          structured_outputs_config: term(),
          aux_output_config: term(),
          reasoning_parser: String.t(),
          reasoning_parser_plugin: String.t() | nil,
          speculative_config: %{optional(String.t()) => term()} | nil,
          spec_method: String.t() | nil,
          spec_model: String.t() | nil,
          spec_tokens: integer() | nil,
          watermark_config: %{optional(String.t()) => term()} | nil,
          diffusion_config: %{optional(String.t()) => term()} | nil,
          show_hidden_metrics_for_version: String.t() | nil,
          otlp_traces_endpoint: String.t() | nil,
          collect_detailed_traces: [String.t()] | nil,
          per_request_spec_decode_metrics: String.t(),
          kv_cache_metrics: boolean(),
          kv_cache_metrics_sample: number(),
          custom_histogram_buckets: %{optional(String.t()) => [number()]} | nil,
          cudagraph_metrics: boolean(),
          enable_layerwise_nvtx_tracing: boolean(),
          enable_mfu_metrics: boolean(),
          enable_logging_iteration_details: boolean(),
          jit_monitor_mode: String.t(),
          jit_monitor_verbose: boolean(),
          enable_mm_processor_stats: boolean(),
          scheduling_policy: String.t(),
          scheduler_cls: term(),
          pooler_config: term(),
          compilation_config: term(),
          attention_config: term(),
          engram_config: term(),
          mamba_config: term(),
          kernel_config: term(),
          enable_flashinfer_autotune: boolean() | nil,
          worker_cls: String.t(),
          worker_extension_cls: String.t(),
          profiler_config: term(),
          logging_config: term(),
          log_level: String.t() | nil,
          log_config_file: String.t() | nil,
          kv_transfer_config: term(),
          kv_events_config: term(),
          ec_transfer_config: term(),
          ec_manager_config: term(),
          reasoning_config: term(),
          generation_config: String.t(),
          enable_sleep_mode: boolean(),
          sleep_mode_offload_cudagraph: boolean(),
          sleep_preserve_parameter_names: [String.t()],
          enable_cumem_allocator: boolean(),
          enable_nccl_comm_suspend: boolean(),
          override_generation_config: %{optional(String.t()) => term()},
          model_impl: String.t(),
          attention_backend: Vllm.AttentionBackendEnum.t() | nil,
          kv_cache_dtype_skip_layers: [String.t()],
          mamba_cache_dtype: String.t(),
          mamba_ssm_cache_dtype: String.t(),
          mamba_block_size: integer() | nil,
          prefix_match_unit: integer() | nil,
          mamba_cache_mode: String.t(),
          enable_mamba_shared_prefix_checkpoint: boolean(),
          replayssm_buffer_len: integer(),
          use_replayssm: boolean(),
          mamba_backend: Vllm.MambaBackendEnum.t(),
          mamba_ssu_algorithm: String.t() | nil,
          enable_mamba_cache_stochastic_rounding: boolean(),
          mamba_cache_philox_rounds: integer(),
          additional_config: %{optional(String.t()) => term()},
          use_tqdm_on_load: boolean(),
          pt_load_map_location: String.t() | %{optional(String.t()) => String.t()},
          logits_processors: [term()] | nil,
          async_scheduling: boolean() | nil,
          stream_interval: integer(),
          kv_sharing_fast_prefill: boolean(),
          swa_bounded_replay: boolean(),
          optimization_level: Vllm.OptimizationLevel.t(),
          performance_mode: String.t(),
          fault_tolerance_config: term(),
          enable_fault_tolerance: boolean(),
          kv_offloading_size: number() | nil,
          kv_offloading_backend: String.t(),
          tokens_only: boolean(),
          shutdown_timeout: integer(),
          weight_transfer_config: term(),
          fail_on_environ_validation: boolean(),
          gdn_prefill_backend: String.t() | nil,
          kda_prefill_backend: String.t() | nil,
          kda_decode_backend: String.t() | nil,
          enable_log_requests: boolean()
        }

  defstruct model: "Qwen/Qwen3-0.6B",
            enable_return_routed_experts: false,
            return_sampling_mask: false,
            model_weights: "",
            served_model_name: nil,
            tokenizer: nil,
            hf_config_path: nil,
            runner: "auto",
            convert: "auto",
            skip_tokenizer_init: false,
            enable_prompt_embeds: false,
            tokenizer_mode: "auto",
            trust_remote_code: false,
            allowed_local_media_path: "",
            allowed_media_domains: nil,
            download_dir: nil,
            safetensors_load_strategy: nil,
            safetensors_prefetch_num_threads: 8,
            safetensors_prefetch_block_size: 16_777_216,
            load_format: "auto",
            config_format: "auto",
            dtype: "auto",
            kv_cache_dtype: "auto",
            seed: 0,
            max_model_len: nil,
            cudagraph_capture_sizes: nil,
            max_cudagraph_capture_size: nil,
            ir_op_priority: :default,
            distributed_executor_backend: nil,
            pipeline_parallel_size: 1,
            master_addr: "127.0.0.1",
            master_port: 29501,
            nnodes: 1,
            node_rank: 0,
            distributed_timeout_seconds: nil,
            cpu_distributed_timeout_seconds: nil,
            numa_bind: false,
            numa_bind_nodes: nil,
            numa_bind_cpus: nil,
            device_ids: nil,
            tensor_parallel_size: 1,
            prefill_context_parallel_size: 1,
            decode_context_parallel_size: 1,
            dcp_comm_backend: nil,
            dcp_q_replicate: nil,
            dcp_kv_cache_interleave_size: 1,
            cp_kv_cache_interleave_size: nil,
            data_parallel_size: 1,
            data_parallel_rank: nil,
            data_parallel_start_rank: nil,
            data_parallel_size_local: nil,
            data_parallel_address: nil,
            data_parallel_rpc_port: nil,
            data_parallel_hybrid_lb: false,
            data_parallel_external_lb: false,
            data_parallel_multi_port_external_lb: false,
            data_parallel_backend: "mp",
            enable_hc_sp: false,
            enable_expert_parallel: false,
            enable_batch_sharded_sampling: nil,
            enable_ep_weight_filter: false,
            moe_backend: "auto",
            linear_backend: "auto",
            sparse_indexer_topk_backend: "auto",
            all2all_backend: "allgather_reducescatter",
            enable_elastic_ep: false,
            elastic_ep_max_dp_size: nil,
            enable_dbo: false,
            ubatch_size: 0,
            dbo_decode_token_threshold: 32,
            dp_sync_interval: 16,
            dbo_prefill_token_threshold: 512,
            disable_nccl_for_dp_synchronization: nil,
            eplb_config: :default,
            enable_eplb: false,
            expert_placement_strategy: "linear",
            max_parallel_loading_workers: nil,
            block_size: nil,
            enable_prefix_caching: nil,
            prefix_caching_hash_algo: "sha256",
            prefix_cache_retention_interval: 0,
            disable_sliding_window: false,
            disable_cascade_attn: nil,
            offload_backend: "auto",
            cpu_offload_gb: 0,
            cpu_offload_params: :default,
            offload_group_size: 0,
            offload_num_in_group: 1,
            offload_prefetch_step: 1,
            offload_params: :default,
            gpu_memory_utilization: 0.92,
            kv_cache_memory_bytes: nil,
            max_num_batched_tokens: nil,
            max_num_scheduled_tokens: nil,
            long_prefill_token_threshold: 0,
            long_prefill_token_threshold_adaptive: false,
            max_num_seqs: nil,
            max_num_active_seqs: nil,
            max_num_queued_reqs: nil,
            max_num_queued_tokens: nil,
            max_logprobs: 20,
            logprobs_mode: "raw_logprobs",
            use_fp64_gumbel: false,
            enable_trace_replay: false,
            disable_log_stats: false,
            aggregate_engine_logging: false,
            revision: nil,
            code_revision: nil,
            hf_token: nil,
            hf_overrides: %{},
            model_class_overrides: %{},
            tokenizer_revision: nil,
            quantization: nil,
            quantization_config: nil,
            allow_deprecated_quantization: false,
            enforce_eager: false,
            disable_custom_all_reduce: false,
            enable_shm_tensor_arena: false,
            language_model_only: false,
            limit_mm_per_prompt: :default,
            enable_mm_embeds: false,
            interleave_mm_strings: false,
            media_io_kwargs: %{},
            mm_processor_kwargs: nil,
            mm_processor_cache_gb: 4,
            mm_processor_cache_type: "lru",
            mm_hasher_algorithm: "blake3",
            mm_shm_cache_max_object_size_mb: 128,
            mm_encoder_only: false,
            mm_encoder_tp_mode: "weights",
            mm_encoder_attn_backend: nil,
            mm_encoder_attn_dtype: nil,
            mm_encoder_fp8_scale_path: nil,
            mm_encoder_fp8_scale_save_path: nil,
            mm_encoder_fp8_scale_save_margin: 1.5,
            io_processor_plugin: nil,
            renderer_num_workers: 1,
            skip_mm_profiling: false,
            video_pruning_rate: nil,
            video_pruning_method: "evs",
            mm_tensor_ipc: "direct_rpc",
            mm_processor_device: "auto",
            mm_ipc_gpu_memory_gb: 0,
            mm_device_do_normalize: true,
            enable_lora: false,
            max_loras: 1,
            max_lora_rank: 16,
            default_mm_loras: nil,
            fully_sharded_loras: false,
            max_cpu_loras: nil,
            lora_dtype: "auto",
            lora_target_modules: nil,
            enable_tower_connector_lora: false,
            specialize_active_lora: false,
            enable_mixed_moe_lora_format: false,
            enable_moe_shared_loras: false,
            max_lora_cls_labels: nil,
            ray_workers_use_nsight: false,
            num_gpu_blocks_override: nil,
            model_loader_extra_config: %{},
            ignore_patterns: ["original/**/*"],
            enable_chunked_prefill: nil,
            disable_chunked_mm_input: false,
            scheduler_reserve_full_isl: true,
            prefill_schedule_interval: 1,
            watermark: 0.0,
            disable_hybrid_kv_cache_manager: nil,
            structured_outputs_config: :default,
            aux_output_config: :default,
            reasoning_parser: "",
            reasoning_parser_plugin: nil,
            speculative_config: nil,
            spec_method: nil,
            spec_model: nil,
            spec_tokens: nil,
            watermark_config: nil,
            diffusion_config: nil,
            show_hidden_metrics_for_version: nil,
            otlp_traces_endpoint: nil,
            collect_detailed_traces: nil,
            per_request_spec_decode_metrics: "none",
            kv_cache_metrics: false,
            kv_cache_metrics_sample: 0.01,
            custom_histogram_buckets: nil,
            cudagraph_metrics: false,
            enable_layerwise_nvtx_tracing: false,
            enable_mfu_metrics: false,
            enable_logging_iteration_details: false,
            jit_monitor_mode: "warn",
            jit_monitor_verbose: false,
            enable_mm_processor_stats: false,
            scheduling_policy: "fcfs",
            scheduler_cls: nil,
            pooler_config: nil,
            compilation_config: :default,
            attention_config: :default,
            engram_config: nil,
            mamba_config: :default,
            kernel_config: :default,
            enable_flashinfer_autotune: nil,
            worker_cls: "auto",
            worker_extension_cls: "",
            profiler_config: :default,
            logging_config: nil,
            log_level: nil,
            log_config_file: nil,
            kv_transfer_config: nil,
            kv_events_config: nil,
            ec_transfer_config: nil,
            ec_manager_config: :default,
            reasoning_config: nil,
            generation_config: "auto",
            enable_sleep_mode: false,
            sleep_mode_offload_cudagraph: false,
            sleep_preserve_parameter_names: [],
            enable_cumem_allocator: false,
            enable_nccl_comm_suspend: false,
            override_generation_config: %{},
            model_impl: "auto",
            attention_backend: nil,
            kv_cache_dtype_skip_layers: [],
            mamba_cache_dtype: "auto",
            mamba_ssm_cache_dtype: "auto",
            mamba_block_size: nil,
            prefix_match_unit: nil,
            mamba_cache_mode: "none",
            enable_mamba_shared_prefix_checkpoint: false,
            replayssm_buffer_len: 16,
            use_replayssm: false,
            mamba_backend: :TRITON,
            mamba_ssu_algorithm: nil,
            enable_mamba_cache_stochastic_rounding: false,
            mamba_cache_philox_rounds: 0,
            additional_config: %{},
            use_tqdm_on_load: true,
            pt_load_map_location: "cpu",
            logits_processors: nil,
            async_scheduling: nil,
            stream_interval: 1,
            kv_sharing_fast_prefill: false,
            swa_bounded_replay: true,
            optimization_level: :O2,
            performance_mode: "balanced",
            fault_tolerance_config: :default,
            enable_fault_tolerance: false,
            kv_offloading_size: nil,
            kv_offloading_backend: "native",
            tokens_only: false,
            shutdown_timeout: 0,
            weight_transfer_config: nil,
            fail_on_environ_validation: false,
            gdn_prefill_backend: nil,
            kda_prefill_backend: nil,
            kda_decode_backend: nil,
            enable_log_requests: false

  @doc """
  Checks fields as vLLM's `AsyncEngineArgs` does, in the worker, and returns them as a struct.

  Calls check them too, so this is for those who want to know before. The struct holds what
  was given; `to_map` says what vLLM makes of it. A struct is a value: what Python's `clone`
  copies needs no copy here.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `engine_args` - `t:Vllm.AsyncEngineArgs.t/0`, a keyword list or a map

  ## Returns

  The struct.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.AsyncEngineArgs.new(engine_args)
  """
  @doc group: :parameters
  @spec new(Vllm.AsyncEngineArgs.t() | keyword() | map()) ::
          {:ok, Vllm.AsyncEngineArgs.t()} | {:error, Error.t()}
  def new(engine_args) do
    Call.invoke_class("AsyncEngineArgs", "new", 1, [engine_args])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.AsyncEngineArgs.t() | keyword() | map(),
          Vllm.AsyncEngineArgs.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, Vllm.AsyncEngineArgs.t()} | {:error, Error.t()}
  def new(worker_or_engine_args, engine_args_or_opts) do
    Call.invoke_class("AsyncEngineArgs", "new", 1, [worker_or_engine_args, engine_args_or_opts])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(
          worker() | Vllm.AsyncEngineArgs.t() | keyword() | map(),
          Vllm.AsyncEngineArgs.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.AsyncEngineArgs.t()} | {:error, Error.t()}
  def new(worker_or_engine_args, engine_args_or_args, args_or_opts) do
    Call.invoke_class("AsyncEngineArgs", "new", 1, [
      worker_or_engine_args,
      engine_args_or_args,
      args_or_opts
    ])
  end

  @doc "See `new/1`."
  @doc group: :parameters
  @spec new(worker(), Vllm.AsyncEngineArgs.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, Vllm.AsyncEngineArgs.t()} | {:error, Error.t()}
  def new(worker, engine_args, args, opts) do
    Call.invoke_class("AsyncEngineArgs", "new", 1, [worker, engine_args, args, opts])
  end

  @doc """
  Returns all fields as vLLM has them, once it has made a `AsyncEngineArgs` of those that are
  given.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `engine_args` - `t:Vllm.AsyncEngineArgs.t/0`, a keyword list or a map

  ## Returns

  A map by name. Objects in it, such as configurations, are maps too.

  ## Errors

    * `:invalid` - an unknown field, a wrong type, or values that vLLM refuses; `details` has
      the `parameter` and its `value`, and `values` where several contradict each other
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, value} = Vllm.AsyncEngineArgs.to_map(engine_args)
  """
  @doc group: :parameters
  @spec to_map(Vllm.AsyncEngineArgs.t() | keyword() | map()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(engine_args) do
    Call.invoke_class("AsyncEngineArgs", "to_map", 1, [engine_args])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.AsyncEngineArgs.t() | keyword() | map(),
          Vllm.AsyncEngineArgs.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_engine_args, engine_args_or_opts) do
    Call.invoke_class("AsyncEngineArgs", "to_map", 1, [worker_or_engine_args, engine_args_or_opts])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(
          worker() | Vllm.AsyncEngineArgs.t() | keyword() | map(),
          Vllm.AsyncEngineArgs.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker_or_engine_args, engine_args_or_args, args_or_opts) do
    Call.invoke_class("AsyncEngineArgs", "to_map", 1, [
      worker_or_engine_args,
      engine_args_or_args,
      args_or_opts
    ])
  end

  @doc "See `to_map/1`."
  @doc group: :parameters
  @spec to_map(worker(), Vllm.AsyncEngineArgs.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def to_map(worker, engine_args, args, opts) do
    Call.invoke_class("AsyncEngineArgs", "to_map", 1, [worker, engine_args, args, opts])
  end

  @doc """
  Reads the arguments of a command line, as `vllm serve` takes them.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `arguments` - its words, as `["--max-model-len", "1k"]`

  ## Returns

  A struct of the fields that the command line sets.

  ## Errors

    * `:invalid` - a word that is not understood; the message names the argument
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, args} = Vllm.AsyncEngineArgs.parse_cli(["--enable-prefix-caching"])
  """
  @doc group: :parameters
  @spec parse_cli([String.t()]) :: {:ok, Vllm.AsyncEngineArgs.t()} | {:error, Error.t()}
  def parse_cli(arguments) do
    Call.invoke_class("AsyncEngineArgs", "parse_cli", 1, [arguments])
  end

  @doc "See `parse_cli/1`."
  @doc group: :parameters
  @spec parse_cli(worker() | [String.t()], [String.t()] | Call.args_or_opts()) ::
          {:ok, Vllm.AsyncEngineArgs.t()} | {:error, Error.t()}
  def parse_cli(worker_or_arguments, arguments_or_opts) do
    Call.invoke_class("AsyncEngineArgs", "parse_cli", 1, [worker_or_arguments, arguments_or_opts])
  end

  @doc "See `parse_cli/1`."
  @doc group: :parameters
  @spec parse_cli(
          worker() | [String.t()],
          [String.t()] | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Vllm.AsyncEngineArgs.t()} | {:error, Error.t()}
  def parse_cli(worker_or_arguments, arguments_or_args, args_or_opts) do
    Call.invoke_class("AsyncEngineArgs", "parse_cli", 1, [
      worker_or_arguments,
      arguments_or_args,
      args_or_opts
    ])
  end

  @doc "See `parse_cli/1`."
  @doc group: :parameters
  @spec parse_cli(worker(), [String.t()], [term()], keyword()) ::
          {:ok, Vllm.AsyncEngineArgs.t()} | {:error, Error.t()}
  def parse_cli(worker, arguments, args, opts) do
    Call.invoke_class("AsyncEngineArgs", "parse_cli", 1, [worker, arguments, args, opts])
  end

  @doc """
  Create the VllmConfig.

  NOTE: If VllmConfig is incompatible, we raise an error.

  The worker imports vLLM for it, which takes some seconds the first time.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `engine_args` - `t:Vllm.AsyncEngineArgs.t/0`, a keyword list or a map

  ## Options

    * `usage_context` - default `nil` (`UsageContext or None`). Where the engine is used, as
      told to vLLM's usage statistics
    * `headless` - default `false` (`bool`). Whether the engine runs on a node without a front
      end
    * `rpc: [timeout: ms]` - none by default: a model's configuration may have to be fetched

  ## Returns

  A reference to the configuration, for `Vllm.AsyncLLM.from_vllm_config/1` and `Vllm.call/4`.
  It is released with the calling process.

  ## Errors

    * `:invalid` - an unknown engine argument, or a value that vLLM refuses
    * `:python` - any other failure on the way, such as a model that is not found
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, config} = Vllm.AsyncEngineArgs.create_engine_config(model: "facebook/opt-125m")
      {:ok, model_config} = Vllm.call(config, "model_config")
  """
  @doc group: :lifecycle
  @spec create_engine_config(Vllm.AsyncEngineArgs.t() | keyword() | map()) ::
          {:ok, Ref.t()} | {:error, Error.t()}
  def create_engine_config(engine_args) do
    Call.invoke_class("AsyncEngineArgs", "create_engine_config", 1, [engine_args])
  end

  @doc "See `create_engine_config/1`."
  @doc group: :lifecycle
  @spec create_engine_config(
          worker() | Vllm.AsyncEngineArgs.t() | keyword() | map(),
          Vllm.AsyncEngineArgs.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, Ref.t()} | {:error, Error.t()}
  def create_engine_config(worker_or_engine_args, engine_args_or_opts) do
    Call.invoke_class("AsyncEngineArgs", "create_engine_config", 1, [
      worker_or_engine_args,
      engine_args_or_opts
    ])
  end

  @doc "See `create_engine_config/1`."
  @doc group: :lifecycle
  @spec create_engine_config(
          worker() | Vllm.AsyncEngineArgs.t() | keyword() | map(),
          Vllm.AsyncEngineArgs.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, Ref.t()} | {:error, Error.t()}
  def create_engine_config(worker_or_engine_args, engine_args_or_args, args_or_opts) do
    Call.invoke_class("AsyncEngineArgs", "create_engine_config", 1, [
      worker_or_engine_args,
      engine_args_or_args,
      args_or_opts
    ])
  end

  @doc "See `create_engine_config/1`."
  @doc group: :lifecycle
  @spec create_engine_config(
          worker(),
          Vllm.AsyncEngineArgs.t() | keyword() | map(),
          [term()],
          keyword()
        ) :: {:ok, Ref.t()} | {:error, Error.t()}
  def create_engine_config(worker, engine_args, args, opts) do
    Call.invoke_class("AsyncEngineArgs", "create_engine_config", 1, [
      worker,
      engine_args,
      args,
      opts
    ])
  end

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
