# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.Classes do
  @moduledoc """
  The classes of vLLM that travel by their fields, and the enums, by name.

  Names that Python sends become modules and atoms here and nowhere else: what is not in
  these tables stays a string, so received text never makes an atom.
  """

  @doc "The version of vLLM that the structs describe."
  @spec vllm_version() :: String.t()
  def vllm_version, do: "0.32.0"

  # The modules are values here, as modules are to a codec. Written as modules, they would be
  # dependencies: Vllm.AsyncEngineArgs makes calls, which need the codec, which needs this table.
  @fields [
    {"AsyncEngineArgs",
     %{
       "model" => :model,
       "enable_return_routed_experts" => :enable_return_routed_experts,
       "return_sampling_mask" => :return_sampling_mask,
       "model_weights" => :model_weights,
       "served_model_name" => :served_model_name,
       "tokenizer" => :tokenizer,
       "hf_config_path" => :hf_config_path,
       "runner" => :runner,
       "convert" => :convert,
       "skip_tokenizer_init" => :skip_tokenizer_init,
       "enable_prompt_embeds" => :enable_prompt_embeds,
       "tokenizer_mode" => :tokenizer_mode,
       "trust_remote_code" => :trust_remote_code,
       "allowed_local_media_path" => :allowed_local_media_path,
       "allowed_media_domains" => :allowed_media_domains,
       "download_dir" => :download_dir,
       "safetensors_load_strategy" => :safetensors_load_strategy,
       "safetensors_prefetch_num_threads" => :safetensors_prefetch_num_threads,
       "safetensors_prefetch_block_size" => :safetensors_prefetch_block_size,
       "load_format" => :load_format,
       "config_format" => :config_format,
       "dtype" => :dtype,
       "kv_cache_dtype" => :kv_cache_dtype,
       "seed" => :seed,
       "max_model_len" => :max_model_len,
       "cudagraph_capture_sizes" => :cudagraph_capture_sizes,
       "max_cudagraph_capture_size" => :max_cudagraph_capture_size,
       "ir_op_priority" => :ir_op_priority,
       "distributed_executor_backend" => :distributed_executor_backend,
       "pipeline_parallel_size" => :pipeline_parallel_size,
       "master_addr" => :master_addr,
       "master_port" => :master_port,
       "nnodes" => :nnodes,
       "node_rank" => :node_rank,
       "distributed_timeout_seconds" => :distributed_timeout_seconds,
       "cpu_distributed_timeout_seconds" => :cpu_distributed_timeout_seconds,
       "numa_bind" => :numa_bind,
       "numa_bind_nodes" => :numa_bind_nodes,
       "numa_bind_cpus" => :numa_bind_cpus,
       "device_ids" => :device_ids,
       "tensor_parallel_size" => :tensor_parallel_size,
       "prefill_context_parallel_size" => :prefill_context_parallel_size,
       "decode_context_parallel_size" => :decode_context_parallel_size,
       "dcp_comm_backend" => :dcp_comm_backend,
       "dcp_q_replicate" => :dcp_q_replicate,
       "dcp_kv_cache_interleave_size" => :dcp_kv_cache_interleave_size,
       "cp_kv_cache_interleave_size" => :cp_kv_cache_interleave_size,
       "data_parallel_size" => :data_parallel_size,
       "data_parallel_rank" => :data_parallel_rank,
       "data_parallel_start_rank" => :data_parallel_start_rank,
       "data_parallel_size_local" => :data_parallel_size_local,
       "data_parallel_address" => :data_parallel_address,
       "data_parallel_rpc_port" => :data_parallel_rpc_port,
       "data_parallel_hybrid_lb" => :data_parallel_hybrid_lb,
       "data_parallel_external_lb" => :data_parallel_external_lb,
       "data_parallel_multi_port_external_lb" => :data_parallel_multi_port_external_lb,
       "data_parallel_backend" => :data_parallel_backend,
       "enable_hc_sp" => :enable_hc_sp,
       "enable_expert_parallel" => :enable_expert_parallel,
       "enable_batch_sharded_sampling" => :enable_batch_sharded_sampling,
       "enable_ep_weight_filter" => :enable_ep_weight_filter,
       "moe_backend" => :moe_backend,
       "linear_backend" => :linear_backend,
       "sparse_indexer_topk_backend" => :sparse_indexer_topk_backend,
       "all2all_backend" => :all2all_backend,
       "enable_elastic_ep" => :enable_elastic_ep,
       "elastic_ep_max_dp_size" => :elastic_ep_max_dp_size,
       "enable_dbo" => :enable_dbo,
       "ubatch_size" => :ubatch_size,
       "dbo_decode_token_threshold" => :dbo_decode_token_threshold,
       "dp_sync_interval" => :dp_sync_interval,
       "dbo_prefill_token_threshold" => :dbo_prefill_token_threshold,
       "disable_nccl_for_dp_synchronization" => :disable_nccl_for_dp_synchronization,
       "eplb_config" => :eplb_config,
       "enable_eplb" => :enable_eplb,
       "expert_placement_strategy" => :expert_placement_strategy,
       "max_parallel_loading_workers" => :max_parallel_loading_workers,
       "block_size" => :block_size,
       "enable_prefix_caching" => :enable_prefix_caching,
       "prefix_caching_hash_algo" => :prefix_caching_hash_algo,
       "prefix_cache_retention_interval" => :prefix_cache_retention_interval,
       "disable_sliding_window" => :disable_sliding_window,
       "disable_cascade_attn" => :disable_cascade_attn,
       "offload_backend" => :offload_backend,
       "cpu_offload_gb" => :cpu_offload_gb,
       "cpu_offload_params" => :cpu_offload_params,
       "offload_group_size" => :offload_group_size,
       "offload_num_in_group" => :offload_num_in_group,
       "offload_prefetch_step" => :offload_prefetch_step,
       "offload_params" => :offload_params,
       "gpu_memory_utilization" => :gpu_memory_utilization,
       "kv_cache_memory_bytes" => :kv_cache_memory_bytes,
       "max_num_batched_tokens" => :max_num_batched_tokens,
       "max_num_scheduled_tokens" => :max_num_scheduled_tokens,
       "long_prefill_token_threshold" => :long_prefill_token_threshold,
       "long_prefill_token_threshold_adaptive" => :long_prefill_token_threshold_adaptive,
       "max_num_seqs" => :max_num_seqs,
       "max_num_active_seqs" => :max_num_active_seqs,
       "max_num_queued_reqs" => :max_num_queued_reqs,
       "max_num_queued_tokens" => :max_num_queued_tokens,
       "max_logprobs" => :max_logprobs,
       "logprobs_mode" => :logprobs_mode,
       "use_fp64_gumbel" => :use_fp64_gumbel,
       "enable_trace_replay" => :enable_trace_replay,
       "disable_log_stats" => :disable_log_stats,
       "aggregate_engine_logging" => :aggregate_engine_logging,
       "revision" => :revision,
       "code_revision" => :code_revision,
       "hf_token" => :hf_token,
       "hf_overrides" => :hf_overrides,
       "model_class_overrides" => :model_class_overrides,
       "tokenizer_revision" => :tokenizer_revision,
       "quantization" => :quantization,
       "quantization_config" => :quantization_config,
       "allow_deprecated_quantization" => :allow_deprecated_quantization,
       "enforce_eager" => :enforce_eager,
       "disable_custom_all_reduce" => :disable_custom_all_reduce,
       "enable_shm_tensor_arena" => :enable_shm_tensor_arena,
       "language_model_only" => :language_model_only,
       "limit_mm_per_prompt" => :limit_mm_per_prompt,
       "enable_mm_embeds" => :enable_mm_embeds,
       "interleave_mm_strings" => :interleave_mm_strings,
       "media_io_kwargs" => :media_io_kwargs,
       "mm_processor_kwargs" => :mm_processor_kwargs,
       "mm_processor_cache_gb" => :mm_processor_cache_gb,
       "mm_processor_cache_type" => :mm_processor_cache_type,
       "mm_hasher_algorithm" => :mm_hasher_algorithm,
       "mm_shm_cache_max_object_size_mb" => :mm_shm_cache_max_object_size_mb,
       "mm_encoder_only" => :mm_encoder_only,
       "mm_encoder_tp_mode" => :mm_encoder_tp_mode,
       "mm_encoder_attn_backend" => :mm_encoder_attn_backend,
       "mm_encoder_attn_dtype" => :mm_encoder_attn_dtype,
       "mm_encoder_fp8_scale_path" => :mm_encoder_fp8_scale_path,
       "mm_encoder_fp8_scale_save_path" => :mm_encoder_fp8_scale_save_path,
       "mm_encoder_fp8_scale_save_margin" => :mm_encoder_fp8_scale_save_margin,
       "io_processor_plugin" => :io_processor_plugin,
       "renderer_num_workers" => :renderer_num_workers,
       "skip_mm_profiling" => :skip_mm_profiling,
       "video_pruning_rate" => :video_pruning_rate,
       "video_pruning_method" => :video_pruning_method,
       "mm_tensor_ipc" => :mm_tensor_ipc,
       "mm_processor_device" => :mm_processor_device,
       "mm_ipc_gpu_memory_gb" => :mm_ipc_gpu_memory_gb,
       "mm_device_do_normalize" => :mm_device_do_normalize,
       "enable_lora" => :enable_lora,
       "max_loras" => :max_loras,
       "max_lora_rank" => :max_lora_rank,
       "default_mm_loras" => :default_mm_loras,
       "fully_sharded_loras" => :fully_sharded_loras,
       "max_cpu_loras" => :max_cpu_loras,
       "lora_dtype" => :lora_dtype,
       "lora_target_modules" => :lora_target_modules,
       "enable_tower_connector_lora" => :enable_tower_connector_lora,
       "specialize_active_lora" => :specialize_active_lora,
       "enable_mixed_moe_lora_format" => :enable_mixed_moe_lora_format,
       "enable_moe_shared_loras" => :enable_moe_shared_loras,
       "max_lora_cls_labels" => :max_lora_cls_labels,
       "ray_workers_use_nsight" => :ray_workers_use_nsight,
       "num_gpu_blocks_override" => :num_gpu_blocks_override,
       "model_loader_extra_config" => :model_loader_extra_config,
       "ignore_patterns" => :ignore_patterns,
       "enable_chunked_prefill" => :enable_chunked_prefill,
       "disable_chunked_mm_input" => :disable_chunked_mm_input,
       "scheduler_reserve_full_isl" => :scheduler_reserve_full_isl,
       "prefill_schedule_interval" => :prefill_schedule_interval,
       "watermark" => :watermark,
       "disable_hybrid_kv_cache_manager" => :disable_hybrid_kv_cache_manager,
       "structured_outputs_config" => :structured_outputs_config,
       "aux_output_config" => :aux_output_config,
       "reasoning_parser" => :reasoning_parser,
       "reasoning_parser_plugin" => :reasoning_parser_plugin,
       "speculative_config" => :speculative_config,
       "spec_method" => :spec_method,
       "spec_model" => :spec_model,
       "spec_tokens" => :spec_tokens,
       "watermark_config" => :watermark_config,
       "diffusion_config" => :diffusion_config,
       "show_hidden_metrics_for_version" => :show_hidden_metrics_for_version,
       "otlp_traces_endpoint" => :otlp_traces_endpoint,
       "collect_detailed_traces" => :collect_detailed_traces,
       "per_request_spec_decode_metrics" => :per_request_spec_decode_metrics,
       "kv_cache_metrics" => :kv_cache_metrics,
       "kv_cache_metrics_sample" => :kv_cache_metrics_sample,
       "custom_histogram_buckets" => :custom_histogram_buckets,
       "cudagraph_metrics" => :cudagraph_metrics,
       "enable_layerwise_nvtx_tracing" => :enable_layerwise_nvtx_tracing,
       "enable_mfu_metrics" => :enable_mfu_metrics,
       "enable_logging_iteration_details" => :enable_logging_iteration_details,
       "jit_monitor_mode" => :jit_monitor_mode,
       "jit_monitor_verbose" => :jit_monitor_verbose,
       "enable_mm_processor_stats" => :enable_mm_processor_stats,
       "scheduling_policy" => :scheduling_policy,
       "scheduler_cls" => :scheduler_cls,
       "pooler_config" => :pooler_config,
       "compilation_config" => :compilation_config,
       "attention_config" => :attention_config,
       "engram_config" => :engram_config,
       "mamba_config" => :mamba_config,
       "kernel_config" => :kernel_config,
       "enable_flashinfer_autotune" => :enable_flashinfer_autotune,
       "worker_cls" => :worker_cls,
       "worker_extension_cls" => :worker_extension_cls,
       "profiler_config" => :profiler_config,
       "logging_config" => :logging_config,
       "log_level" => :log_level,
       "log_config_file" => :log_config_file,
       "kv_transfer_config" => :kv_transfer_config,
       "kv_events_config" => :kv_events_config,
       "ec_transfer_config" => :ec_transfer_config,
       "ec_manager_config" => :ec_manager_config,
       "reasoning_config" => :reasoning_config,
       "generation_config" => :generation_config,
       "enable_sleep_mode" => :enable_sleep_mode,
       "sleep_mode_offload_cudagraph" => :sleep_mode_offload_cudagraph,
       "sleep_preserve_parameter_names" => :sleep_preserve_parameter_names,
       "enable_cumem_allocator" => :enable_cumem_allocator,
       "enable_nccl_comm_suspend" => :enable_nccl_comm_suspend,
       "override_generation_config" => :override_generation_config,
       "model_impl" => :model_impl,
       "attention_backend" => :attention_backend,
       "kv_cache_dtype_skip_layers" => :kv_cache_dtype_skip_layers,
       "mamba_cache_dtype" => :mamba_cache_dtype,
       "mamba_ssm_cache_dtype" => :mamba_ssm_cache_dtype,
       "mamba_block_size" => :mamba_block_size,
       "prefix_match_unit" => :prefix_match_unit,
       "mamba_cache_mode" => :mamba_cache_mode,
       "enable_mamba_shared_prefix_checkpoint" => :enable_mamba_shared_prefix_checkpoint,
       "replayssm_buffer_len" => :replayssm_buffer_len,
       "use_replayssm" => :use_replayssm,
       "mamba_backend" => :mamba_backend,
       "mamba_ssu_algorithm" => :mamba_ssu_algorithm,
       "enable_mamba_cache_stochastic_rounding" => :enable_mamba_cache_stochastic_rounding,
       "mamba_cache_philox_rounds" => :mamba_cache_philox_rounds,
       "additional_config" => :additional_config,
       "use_tqdm_on_load" => :use_tqdm_on_load,
       "pt_load_map_location" => :pt_load_map_location,
       "logits_processors" => :logits_processors,
       "async_scheduling" => :async_scheduling,
       "stream_interval" => :stream_interval,
       "kv_sharing_fast_prefill" => :kv_sharing_fast_prefill,
       "swa_bounded_replay" => :swa_bounded_replay,
       "optimization_level" => :optimization_level,
       "performance_mode" => :performance_mode,
       "fault_tolerance_config" => :fault_tolerance_config,
       "enable_fault_tolerance" => :enable_fault_tolerance,
       "kv_offloading_size" => :kv_offloading_size,
       "kv_offloading_backend" => :kv_offloading_backend,
       "tokens_only" => :tokens_only,
       "shutdown_timeout" => :shutdown_timeout,
       "weight_transfer_config" => :weight_transfer_config,
       "fail_on_environ_validation" => :fail_on_environ_validation,
       "gdn_prefill_backend" => :gdn_prefill_backend,
       "kda_prefill_backend" => :kda_prefill_backend,
       "kda_decode_backend" => :kda_decode_backend,
       "enable_log_requests" => :enable_log_requests
     }},
    {"BeamSearchParams",
     %{
       "beam_width" => :beam_width,
       "max_tokens" => :max_tokens,
       "ignore_eos" => :ignore_eos,
       "temperature" => :temperature,
       "length_penalty" => :length_penalty,
       "include_stop_str_in_output" => :include_stop_str_in_output,
       "structured_outputs" => :structured_outputs,
       "skip_special_tokens" => :skip_special_tokens,
       "watermarking" => :watermarking
     }},
    {"ChatChoice",
     %{
       "index" => :index,
       "message" => :message,
       "finish_reason" => :finish_reason,
       "stop_reason" => :stop_reason,
       "logprobs" => :logprobs,
       "token_ids" => :token_ids
     }},
    {"ChatCompletion",
     %{
       "id" => :id,
       "model" => :model,
       "choices" => :choices,
       "usage" => :usage,
       "prompt" => :prompt,
       "prompt_token_ids" => :prompt_token_ids
     }},
    {"ChatDelta",
     %{
       "id" => :id,
       "index" => :index,
       "role" => :role,
       "content" => :content,
       "reasoning" => :reasoning,
       "tool_calls" => :tool_calls,
       "finish_reason" => :finish_reason,
       "stop_reason" => :stop_reason,
       "logprobs" => :logprobs,
       "token_ids" => :token_ids,
       "usage" => :usage
     }},
    {"ChatMessage",
     %{
       "role" => :role,
       "content" => :content,
       "reasoning" => :reasoning,
       "tool_calls" => :tool_calls,
       "parsed" => :parsed
     }},
    {"ChatUsage",
     %{
       "prompt_tokens" => :prompt_tokens,
       "completion_tokens" => :completion_tokens,
       "total_tokens" => :total_tokens,
       "cached_tokens" => :cached_tokens,
       "reasoning_tokens" => :reasoning_tokens
     }},
    {"ClassificationOutput", %{"probs" => :probs}},
    {"ClassificationRequestOutput",
     %{
       "request_id" => :request_id,
       "outputs" => :outputs,
       "prompt_token_ids" => :prompt_token_ids,
       "num_cached_tokens" => :num_cached_tokens,
       "finished" => :finished,
       "error" => :error
     }},
    {"CompletionOutput",
     %{
       "index" => :index,
       "text" => :text,
       "token_ids" => :token_ids,
       "cumulative_logprob" => :cumulative_logprob,
       "logprobs" => :logprobs,
       "routed_experts" => :routed_experts,
       "finish_reason" => :finish_reason,
       "stop_reason" => :stop_reason,
       "lora_request" => :lora_request,
       "sampling_mask" => :sampling_mask,
       "spec_decode_metrics" => :spec_decode_metrics,
       "weight_versions" => :weight_versions
     }},
    {"EmbeddingOutput", %{"embedding" => :embedding}},
    {"EmbeddingRequestOutput",
     %{
       "request_id" => :request_id,
       "outputs" => :outputs,
       "prompt_token_ids" => :prompt_token_ids,
       "num_cached_tokens" => :num_cached_tokens,
       "finished" => :finished,
       "error" => :error
     }},
    {"EmbedsPrompt",
     %{
       "prompt_embeds" => :prompt_embeds,
       "multi_modal_data" => :multi_modal_data,
       "media_io_kwargs" => :media_io_kwargs,
       "mm_processor_kwargs" => :mm_processor_kwargs,
       "multi_modal_uuids" => :multi_modal_uuids,
       "cache_salt" => :cache_salt,
       "prompt" => :prompt,
       "prompt_token_ids" => :prompt_token_ids,
       "prompt_is_token_ids" => :prompt_is_token_ids
     }},
    {"ExplicitEncoderDecoderPrompt",
     %{"encoder_prompt" => :encoder_prompt, "decoder_prompt" => :decoder_prompt}},
    {"FaultToleranceRequest",
     %{"instruction" => :instruction, "params" => :params, "request_id" => :request_id}},
    {"FaultToleranceResult",
     %{"request_id" => :request_id, "success" => :success, "reason" => :reason}},
    {"KvHintAction",
     %{
       "action_id" => :action_id,
       "action_type" => :action_type,
       "action_version" => :action_version,
       "payload" => :payload
     }},
    {"KvHintsEnvelope",
     %{
       "protocol_version" => :protocol_version,
       "message_id" => :message_id,
       "actions" => :actions
     }},
    {"LateInteractionParams",
     %{"mode" => :mode, "query_key" => :query_key, "query_uses" => :query_uses}},
    {"LoRARequest",
     %{
       "lora_name" => :lora_name,
       "lora_int_id" => :lora_int_id,
       "lora_path" => :lora_path,
       "base_model_name" => :base_model_name,
       "load_inplace" => :load_inplace,
       "is_3d_lora_weight" => :is_3d_lora_weight
     }},
    {"Logprob", %{"logprob" => :logprob, "rank" => :rank, "decoded_token" => :decoded_token}},
    {"PoolingOutput", %{"data" => :data}},
    {"PoolingParams",
     %{
       "use_activation" => :use_activation,
       "dimensions" => :dimensions,
       "step_tag_id" => :step_tag_id,
       "returned_token_ids" => :returned_token_ids,
       "task" => :task,
       "requires_token_ids" => :requires_token_ids,
       "skip_reading_prefix_cache" => :skip_reading_prefix_cache,
       "late_interaction_params" => :late_interaction_params,
       "extra_kwargs" => :extra_kwargs,
       "output_kind" => :output_kind
     }},
    {"PoolingRequestOutput",
     %{
       "request_id" => :request_id,
       "outputs" => :outputs,
       "prompt_token_ids" => :prompt_token_ids,
       "num_cached_tokens" => :num_cached_tokens,
       "finished" => :finished,
       "error" => :error
     }},
    {"RepetitionDetectionParams",
     %{
       "max_pattern_size" => :max_pattern_size,
       "min_pattern_size" => :min_pattern_size,
       "min_count" => :min_count
     }},
    {"RequestError", %{"code" => :code, "message" => :message, "retryable" => :retryable}},
    {"RequestOutput",
     %{
       "request_id" => :request_id,
       "prompt" => :prompt,
       "prompt_token_ids" => :prompt_token_ids,
       "prompt_logprobs" => :prompt_logprobs,
       "outputs" => :outputs,
       "finished" => :finished,
       "metrics" => :metrics,
       "lora_request" => :lora_request,
       "encoder_prompt" => :encoder_prompt,
       "encoder_prompt_token_ids" => :encoder_prompt_token_ids,
       "num_cached_tokens" => :num_cached_tokens,
       "num_cache_creation_tokens" => :num_cache_creation_tokens,
       "prompt_token_id_logprobs" => :prompt_token_id_logprobs,
       "kv_transfer_params" => :kv_transfer_params,
       "ec_transfer_params" => :ec_transfer_params
     }},
    {"RequestSpecDecodeMetrics",
     %{
       "num_spec_tokens" => :num_spec_tokens,
       "histogram" => :histogram,
       "num_draft_tokens" => :num_draft_tokens,
       "per_step_accepted" => :per_step_accepted,
       "per_step_drafted" => :per_step_drafted
     }},
    {"RequestStateStats",
     %{
       "num_generation_tokens" => :num_generation_tokens,
       "num_preemptions" => :num_preemptions,
       "arrival_time" => :arrival_time,
       "queued_ts" => :queued_ts,
       "scheduled_ts" => :scheduled_ts,
       "first_token_ts" => :first_token_ts,
       "last_token_ts" => :last_token_ts,
       "first_token_latency" => :first_token_latency,
       "is_corrupted" => :is_corrupted,
       "is_watermarked" => :is_watermarked,
       "is_watermark_skipped" => :is_watermark_skipped
     }},
    {"SamplingMask", %{"token_ids" => :token_ids}},
    {"SamplingParams",
     %{
       "n" => :n,
       "presence_penalty" => :presence_penalty,
       "frequency_penalty" => :frequency_penalty,
       "repetition_penalty" => :repetition_penalty,
       "temperature" => :temperature,
       "watermarking" => :watermarking,
       "top_p" => :top_p,
       "top_k" => :top_k,
       "min_p" => :min_p,
       "seed" => :seed,
       "stop" => :stop,
       "stop_token_ids" => :stop_token_ids,
       "ignore_eos" => :ignore_eos,
       "max_tokens" => :max_tokens,
       "min_tokens" => :min_tokens,
       "logprobs" => :logprobs,
       "prompt_logprobs" => :prompt_logprobs,
       "prompt_logprob_token_ids" => :prompt_logprob_token_ids,
       "prompt_logprob_start" => :prompt_logprob_start,
       "logprob_token_ids" => :logprob_token_ids,
       "flat_logprobs" => :flat_logprobs,
       "detokenize" => :detokenize,
       "skip_special_tokens" => :skip_special_tokens,
       "spaces_between_special_tokens" => :spaces_between_special_tokens,
       "include_stop_str_in_output" => :include_stop_str_in_output,
       "output_kind" => :output_kind,
       "stream_interval" => :stream_interval,
       "skip_clone" => :skip_clone,
       "output_text_buffer_length" => :output_text_buffer_length,
       "structured_outputs" => :structured_outputs,
       "logit_bias" => :logit_bias,
       "allowed_token_ids" => :allowed_token_ids,
       "extra_args" => :extra_args,
       "bad_words" => :bad_words,
       "skip_reading_prefix_cache" => :skip_reading_prefix_cache,
       "thinking_token_budget" => :thinking_token_budget,
       "repetition_detection" => :repetition_detection,
       "routed_experts_prompt_start" => :routed_experts_prompt_start,
       "trace_decode_token_ids" => :trace_decode_token_ids
     }},
    {"ScoringOutput", %{"score" => :score}},
    {"ScoringRequestOutput",
     %{
       "request_id" => :request_id,
       "outputs" => :outputs,
       "prompt_token_ids" => :prompt_token_ids,
       "num_cached_tokens" => :num_cached_tokens,
       "finished" => :finished,
       "error" => :error
     }},
    {"StreamingInput", %{"prompt" => :prompt, "sampling_params" => :sampling_params}},
    {"StructuredOutputsParams",
     %{
       "json" => :json,
       "regex" => :regex,
       "choice" => :choice,
       "grammar" => :grammar,
       "json_object" => :json_object,
       "disable_any_whitespace" => :disable_any_whitespace,
       "disable_additional_properties" => :disable_additional_properties,
       "whitespace_pattern" => :whitespace_pattern,
       "structural_tag" => :structural_tag
     }},
    {"TextPrompt",
     %{
       "prompt" => :prompt,
       "multi_modal_data" => :multi_modal_data,
       "media_io_kwargs" => :media_io_kwargs,
       "mm_processor_kwargs" => :mm_processor_kwargs,
       "multi_modal_uuids" => :multi_modal_uuids,
       "cache_salt" => :cache_salt
     }},
    {"TokenLogprob",
     %{"token" => :token, "token_id" => :token_id, "logprob" => :logprob, "top" => :top}},
    {"TokensPrompt",
     %{
       "prompt_token_ids" => :prompt_token_ids,
       "multi_modal_data" => :multi_modal_data,
       "media_io_kwargs" => :media_io_kwargs,
       "mm_processor_kwargs" => :mm_processor_kwargs,
       "multi_modal_uuids" => :multi_modal_uuids,
       "cache_salt" => :cache_salt,
       "prompt" => :prompt,
       "token_type_ids" => :token_type_ids,
       "prompt_token_offsets" => :prompt_token_offsets
     }},
    {"ToolCall",
     %{
       "id" => :id,
       "name" => :name,
       "arguments" => :arguments,
       "arguments_json" => :arguments_json
     }},
    {"ToolCallDelta",
     %{"index" => :index, "id" => :id, "name" => :name, "arguments_json" => :arguments_json}},
    {"WeightTransferInitRequest", %{"init_info" => :init_info}},
    {"WeightTransferUpdateRequest", %{"update_info" => :update_info}},
    {"WeightVersionSpan", %{"version" => :version, "start" => :start, "end" => :end}}
  ]
  @modules for {name, _fields} <- @fields, do: {name, Module.concat(["Vllm", name])}

  @doc "Gives the struct module of a Python class, by its short name."
  @spec module_for(String.t()) :: module() | nil
  for {name, module} <- @modules do
    def module_for(unquote(name)), do: unquote(module)
  end

  def module_for(_name), do: nil

  @doc "Gives the short name of the Python class that a struct module stands for."
  @spec class_for(module()) :: String.t() | nil
  for {name, module} <- @modules do
    def class_for(unquote(module)), do: unquote(name)
  end

  def class_for(_module), do: nil

  @doc "Gives the fields of a struct module, from Python's name to the atom."
  @spec fields(module()) :: %{optional(String.t()) => atom()}
  for {name, fields} <- @fields do
    def fields(unquote(Module.concat(["Vllm", name]))), do: unquote(Macro.escape(fields))
  end

  def fields(_module), do: %{}

  @doc "Gives the atom of a field, or nil where the struct has none of that name."
  @spec field_atom(module(), String.t()) :: atom() | nil
  def field_atom(module, name), do: module |> fields() |> Map.get(name)

  @doc "Gives the atom of an enum's member, by the names of both."
  @spec enum_member(String.t(), String.t()) :: atom() | nil
  def enum_member("AttentionBackendEnum", "FLASH_ATTN"), do: :FLASH_ATTN
  def enum_member("AttentionBackendEnum", "FLASH_ATTN_DIFFKV"), do: :FLASH_ATTN_DIFFKV
  def enum_member("AttentionBackendEnum", "TRITON_ATTN"), do: :TRITON_ATTN
  def enum_member("AttentionBackendEnum", "TRITON_ATTN_DIFFKV"), do: :TRITON_ATTN_DIFFKV
  def enum_member("AttentionBackendEnum", "TRITON_FLASH_ATTN"), do: :TRITON_FLASH_ATTN
  def enum_member("AttentionBackendEnum", "ROCM_ATTN"), do: :ROCM_ATTN
  def enum_member("AttentionBackendEnum", "ROCM_SEGMENTED_ATTN"), do: :ROCM_SEGMENTED_ATTN
  def enum_member("AttentionBackendEnum", "ROCM_AITER_MLA"), do: :ROCM_AITER_MLA
  def enum_member("AttentionBackendEnum", "ROCM_AITER_TRITON_MLA"), do: :ROCM_AITER_TRITON_MLA
  def enum_member("AttentionBackendEnum", "ROCM_AITER_FA"), do: :ROCM_AITER_FA
  def enum_member("AttentionBackendEnum", "ROCM_AITER_MLA_SPARSE"), do: :ROCM_AITER_MLA_SPARSE
  def enum_member("AttentionBackendEnum", "XPU_MLA_SPARSE"), do: :XPU_MLA_SPARSE
  def enum_member("AttentionBackendEnum", "TORCH_SDPA"), do: :TORCH_SDPA
  def enum_member("AttentionBackendEnum", "FLASHINFER"), do: :FLASHINFER
  def enum_member("AttentionBackendEnum", "TRITON_FLASHINFER"), do: :TRITON_FLASHINFER
  def enum_member("AttentionBackendEnum", "FLASHINFER_MLA"), do: :FLASHINFER_MLA
  def enum_member("AttentionBackendEnum", "TOKENSPEED_MLA"), do: :TOKENSPEED_MLA
  def enum_member("AttentionBackendEnum", "FLASHINFER_MLA_SPARSE"), do: :FLASHINFER_MLA_SPARSE

  def enum_member("AttentionBackendEnum", "FLASHINFER_MLA_SPARSE_SM120"),
    do: :FLASHINFER_MLA_SPARSE_SM120

  def enum_member("AttentionBackendEnum", "FLASHINFER_MLA_SPARSE_SM90"),
    do: :FLASHINFER_MLA_SPARSE_SM90

  def enum_member("AttentionBackendEnum", "TRITON_MLA"), do: :TRITON_MLA
  def enum_member("AttentionBackendEnum", "CUTLASS_MLA"), do: :CUTLASS_MLA
  def enum_member("AttentionBackendEnum", "FLASHMLA"), do: :FLASHMLA
  def enum_member("AttentionBackendEnum", "FLASHMLA_SPARSE"), do: :FLASHMLA_SPARSE
  def enum_member("AttentionBackendEnum", "FLASHMLA_SPARSE_DSV4"), do: :FLASHMLA_SPARSE_DSV4

  def enum_member("AttentionBackendEnum", "FLASHINFER_MLA_SPARSE_DSV4"),
    do: :FLASHINFER_MLA_SPARSE_DSV4

  def enum_member("AttentionBackendEnum", "ROCM_FLASHMLA_SPARSE_DSV4"),
    do: :ROCM_FLASHMLA_SPARSE_DSV4

  def enum_member("AttentionBackendEnum", "FLASHMLA_SPARSE_DSV41"), do: :FLASHMLA_SPARSE_DSV41

  def enum_member("AttentionBackendEnum", "FLASHINFER_MLA_SPARSE_DSV41"),
    do: :FLASHINFER_MLA_SPARSE_DSV41

  def enum_member("AttentionBackendEnum", "FLASHMLA_MEGA_ATTN_DSV41"),
    do: :FLASHMLA_MEGA_ATTN_DSV41

  def enum_member("AttentionBackendEnum", "B12X"), do: :B12X
  def enum_member("AttentionBackendEnum", "FLASH_ATTN_MLA"), do: :FLASH_ATTN_MLA
  def enum_member("AttentionBackendEnum", "FLASH_ATTN_MLA_SPARSE"), do: :FLASH_ATTN_MLA_SPARSE
  def enum_member("AttentionBackendEnum", "MINIMAX_M3_SPARSE"), do: :MINIMAX_M3_SPARSE
  def enum_member("AttentionBackendEnum", "CUTLASS_MSA"), do: :CUTLASS_MSA
  def enum_member("AttentionBackendEnum", "TRITON_MSA"), do: :TRITON_MSA
  def enum_member("AttentionBackendEnum", "NO_ATTENTION"), do: :NO_ATTENTION
  def enum_member("AttentionBackendEnum", "FLEX_ATTENTION"), do: :FLEX_ATTENTION
  def enum_member("AttentionBackendEnum", "HPC_ATTN"), do: :HPC_ATTN
  def enum_member("AttentionBackendEnum", "ROCM_AITER_UNIFIED_ATTN"), do: :ROCM_AITER_UNIFIED_ATTN
  def enum_member("AttentionBackendEnum", "CPU_ATTN"), do: :CPU_ATTN
  def enum_member("AttentionBackendEnum", "CPU_MLA"), do: :CPU_MLA
  def enum_member("AttentionBackendEnum", "AMX_MLA"), do: :AMX_MLA
  def enum_member("AttentionBackendEnum", "TURBOQUANT"), do: :TURBOQUANT
  def enum_member("AttentionBackendEnum", "ULTRAQUANT"), do: :ULTRAQUANT
  def enum_member("AttentionBackendEnum", "CUSTOM"), do: :CUSTOM
  def enum_member("MambaBackendEnum", "TRITON"), do: :TRITON
  def enum_member("MambaBackendEnum", "FLASHINFER"), do: :FLASHINFER
  def enum_member("MambaBackendEnum", "CPU"), do: :CPU
  def enum_member("OptimizationLevel", "O0"), do: :O0
  def enum_member("OptimizationLevel", "O1"), do: :O1
  def enum_member("OptimizationLevel", "O2"), do: :O2
  def enum_member("OptimizationLevel", "O3"), do: :O3
  def enum_member("RequestOutputKind", "CUMULATIVE"), do: :CUMULATIVE
  def enum_member("RequestOutputKind", "DELTA"), do: :DELTA
  def enum_member("RequestOutputKind", "FINAL_ONLY"), do: :FINAL_ONLY
  def enum_member("UsageContext", "UNKNOWN_CONTEXT"), do: :UNKNOWN_CONTEXT
  def enum_member("UsageContext", "LLM_CLASS"), do: :LLM_CLASS
  def enum_member("UsageContext", "API_SERVER"), do: :API_SERVER
  def enum_member("UsageContext", "OPENAI_API_SERVER"), do: :OPENAI_API_SERVER
  def enum_member("UsageContext", "OPENAI_BATCH_RUNNER"), do: :OPENAI_BATCH_RUNNER
  def enum_member("UsageContext", "ENGINE_CONTEXT"), do: :ENGINE_CONTEXT
  def enum_member(_class, _member), do: nil
end
