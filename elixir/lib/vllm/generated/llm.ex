# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json and python_worker/gen/overlay/.
# It describes vLLM 0.32.0: see python_worker/gen/overlay.py.

defmodule Vllm.LLM do
  @moduledoc """
  vLLM's `LLM`: batches of prompts, where one call runs the whole batch and returns all outputs.

      {:ok, llm} = Vllm.LLM.new("facebook/opt-125m")
      params = [max_tokens: 16]
      {:ok, outputs} = Vllm.LLM.generate(llm, ["Hello", "How are you?"], sampling_params: params)
      for output <- outputs, do: IO.puts(hd(output.outputs).text)
      Vllm.LLM.shutdown(llm)

  It is Python's own class. For streams, and for requests of many processes at once, take
  `Vllm.AsyncLLM`. The functions have Python's names, order of arguments and arities, as those of
  `Vllm.AsyncLLM` have; `inspect_model/1` is Python's `repr(llm)`.

  ## One call at a time

  As in Python, the calls of one `LLM` run one after the other; a call waits until those before it
  are over. Other engines, and other objects of this class, go on meanwhile.

  A batch is ended whole. When its caller ends, its deadline passes or it fails, what is left of it
  is aborted before the next step, and the `LLM` can be used as before.

  ## Progress

  The functions with `use_tqdm` tell how far they have come: as the telemetry event
  `[:vllm, :llm, :progress]` in the calling process, and in IEx as a progress bar. `use_tqdm: false`
  turns both off. See `Vllm.Telemetry`.

  ## Errors of every call

    * `:stale_ref` - the LLM belongs to an earlier worker, or was shut down and let go
    * `:engine_dead` - the engine has died or was shut down, and the call needs it
    * `:timeout` - the deadline passed: `rpc: [timeout: ms]`, 60 s unless the function says otherwise
    * `:worker_down` - the worker ended, or cannot be reached

  ## What is not served

  The attributes of the Python object are not functions here:

    * `chat_template` - a setting; it is what `new/1` was given
    * `default_sampling_params` - internal; `get_default_sampling_params/1` reads it
    * `engine_class` - internal: a class cannot be sent
    * `input_processor` - internal: what it makes would reach the engine unchecked
    * `llm_engine` - internal: a call on it reaches the engine unchecked, and out of turn
    * `model_config` - internal: vLLM's running engine reads it
    * `renderer` - internal; a prompt is rendered by it anyhow
    * `request_counter` - internal: counts requests
    * `runner_type` - a setting; `encode/2` and `generate/2` say where they do not fit the model
    * `supported_tasks` - internal; `encode/2` says which tasks there are
  """

  alias Vllm.{Call, Error, Ref}

  @typedoc "An LLM, as returned by `new/1`."
  @type llm :: Ref.t()

  @typedoc "The name of an instance, or any reference whose worker is meant."
  @type worker :: Vllm.instance() | Ref.t()

  @typedoc "A string, a list of token ids, or a map or struct such as `t:Vllm.TokensPrompt.t/0`."
  @type prompt :: String.t() | [integer()] | map()

  @typedoc "A conversation: a list of maps with `role` and `content`."
  @type conversation :: [map()]

  ## Lifecycle

  @doc """
  An LLM for generating texts from given prompts and sampling parameters.

  This class includes a tokenizer, a language model (possibly distributed across multiple
  GPUs), and GPU memory space allocated for intermediate states (aka KV cache). Given a batch
  of prompts and sampling parameters, this class generates texts from the model, using an
  intelligent batching mechanism and efficient memory management.

  Note: This class is intended to be used for offline inference. For online serving, use the
  [AsyncLLMEngine][vllm.AsyncLLMEngine] class instead.

  This is Python's `LLM(…)`. Beside the options below it takes every field of
  `t:Vllm.EngineArgs.t/0` by name, such as `max_model_len`.

  Loading a model takes half a minute or more; calls of other objects go on meanwhile.
  Statistics are off unless `disable_log_stats: false` is given, as in Python. The model
  always runs in processes of its own: `VLLM_ENABLE_V1_MULTIPROCESSING=0` has no effect here.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `model` - name or path of a model

  ## Options

    * `runner` - default `"auto"` (`Literal['auto', 'generate', 'pooling', 'draft']`)
    * `convert` - default `"auto"` (`Literal['auto', 'none', 'embed', 'classify']`)
    * `tokenizer` - default `nil` (`str or None`). The name or path of a HuggingFace
      Transformers tokenizer.
    * `tokenizer_mode` - default `"auto"` (`TokenizerMode or str`). The tokenizer mode. See
      [ModelConfig.tokenizer_mode][vllm.config.ModelConfig.tokenizer_mode].
    * `skip_tokenizer_init` - default `false` (`bool`). If true, skip initialization of
      tokenizer and detokenizer. Expect valid prompt_token_ids and None for prompt from the
      input.
    * `trust_remote_code` - default `false` (`bool`). Trust remote code (e.g., from HuggingFace)
      when downloading the model and tokenizer.
    * `allowed_local_media_path` - default `""` (`str`). Allowing API requests to read local
      images or videos from directories specified by the server file system. This is a security
      risk. Should only be enabled in trusted environments.
    * `allowed_media_domains` - default `nil` (`list[str] or None`). If set, only media URLs
      that belong to this domain can be used for multi-modal inputs.
    * `tensor_parallel_size` - default `1` (`int`). The number of GPUs to use for distributed
      execution with tensor parallelism.
    * `dtype` - default `"auto"` (`ModelDType`). The data type for the model weights and
      activations. Currently, we support `float32`, `float16`, and `bfloat16`. If `auto`, we use
      the `dtype` attribute of the Transformers model's config. However, if the `dtype` in the
      config is `float32`, we will use `float16` instead.
    * `quantization` - default `nil` (`QuantizationMethods or None`). The method used to
      quantize the model weights. Currently, we support "awq", "gptq", and "fp8" (experimental).
      If None, we first check the `quantization_config` attribute in the model config file. If
      that is None, we assume the model weights are not quantized and use `dtype` to determine
      the data type of the weights.
    * `revision` - default `nil` (`str or None`). The specific model version to use. It can be a
      branch name, a tag name, or a commit id.
    * `tokenizer_revision` - default `nil` (`str or None`). The specific tokenizer version to
      use. It can be a branch name, a tag name, or a commit id.
    * `chat_template` - default `nil` (`Path or str or None`). The chat template to apply.
    * `seed` - default `0` (`int`). The seed to initialize the random number generator for
      sampling.
    * `gpu_memory_utilization` - default `0.92` (`float`). The ratio (between 0 and 1) of GPU
      memory to reserve for the model weights, activations, and KV cache. Higher values will
      increase the KV cache size and thus improve the model's throughput. However, if the value
      is too high, it may cause out-of- memory (OOM) errors.
    * `cpu_offload_gb` - default `0` (`float`). The size (GiB) of CPU memory to use for
      offloading the model weights. This virtually increases the GPU memory space you can use to
      hold the model weights, at the cost of CPU-GPU data transfer for every forward pass.
    * `offload_group_size` - default `0` (`int`). Prefetch offloading: Group every N layers
      together. Offload last `offload_num_in_group` layers of each group. Default is 0
      (disabled).
    * `offload_num_in_group` - default `1` (`int`). Prefetch offloading: Number of layers to
      offload per group. Default is 1.
    * `offload_prefetch_step` - default `1` (`int`). Prefetch offloading: Number of layers to
      prefetch ahead. Higher values hide more latency but use more GPU memory. Default is 1.
    * `offload_params` - default `nil` (`set[str] or None`). Prefetch offloading: Set of
      parameter name segments to selectively offload. Only parameters whose names contain one of
      these segments will be offloaded (e.g., {"gate_up_proj", "down_proj"} for MLP weights, or
      {"w13_weight", "w2_weight"} for MoE expert weights). If None or empty, all parameters are
      offloaded.
    * `enforce_eager` - default `false` (`bool`). Whether to enforce eager execution. If True,
      we will disable CUDA graph and always execute the model in eager mode. If False, we will
      use CUDA graph and eager execution in hybrid.
    * `enable_return_routed_experts` - default `false` (`bool`). Whether to return routed
      experts.
    * `return_sampling_mask` - default `false` (`bool`). Return each sampled token's
      post-processing support set. Requires Model Runner V2 and processed log probabilities.
    * `disable_custom_all_reduce` - default `false` (`bool`). See
      [ParallelConfig][vllm.config.ParallelConfig].
    * `hf_token` - default `nil` (`bool or str or None`). The token to use as HTTP bearer
      authorization for remote files . If `True`, will use the token generated when running `hf
      auth login` (stored in `~/.cache/huggingface/token`).
    * `hf_overrides` - default `nil` (`dict[str, Any] or Callable[[Any], Any] or None`). If a
      dictionary, contains arguments to be forwarded to the HuggingFace config. If a callable,
      it is called to update the HuggingFace config.
    * `mm_processor_kwargs` - default `nil` (`dict[str, Any] or None`). Arguments to be
      forwarded to the model's processor for multi-modal data, e.g., image processor. Overrides
      for the multi-modal processor obtained from `AutoProcessor.from_pretrained`. The available
      overrides depend on the model that is being run. For example, for Phi-3-Vision:
      `{"num_crops": 4}`.
    * `pooler_config` - default `nil` (`PoolerConfig or None`). Initialize non-default pooling
      config for the pooling model, e.g., `PoolerConfig(seq_pooling_type="MEAN",
      use_activation=False)`.
    * `structured_outputs_config` - default `nil` (`dict[str, Any] or StructuredOutputsConfig or
      None`)
    * `profiler_config` - default `nil` (`dict[str, Any] or ProfilerConfig or None`)
    * `attention_config` - default `nil` (`dict[str, Any] or AttentionConfig or None`).
      Configuration for attention mechanisms. Can be a dictionary or an AttentionConfig
      instance. If a dictionary, it will be converted to an AttentionConfig. Allows specifying
      the attention backend and other attention-related settings.
    * `kv_cache_memory_bytes` - default `nil` (`int or None`). Size of KV Cache per GPU in
      bytes. By default, this is set to None and vllm can automatically infer the kv cache size
      based on gpu_memory_utilization. However, users may want to manually specify the kv cache
      memory size. kv_cache_memory_bytes allows more fine-grain control of how much memory gets
      used when compared with using gpu_memory_utilization. Note that kv_cache_memory_bytes
      (when not-None) ignores gpu_memory_utilization
    * `compilation_config` - default `nil` (`int or dict[str, Any] or CompilationConfig or
      None`). Either an integer or a dictionary. If it is an integer, it is used as the mode of
      compilation optimization. If it is a dictionary, it can specify the full compilation
      configuration.
    * `quantization_config` - default `nil` (`dict[str, Any] or QuantizationConfigArgs or None`)
    * `logits_processors` - default `nil` (`list[str or type[LogitsProcessor]] or None`)
    * `spec_method` - default `nil` (`str or None`). Top-level alias for
      `speculative_config["method"]`.
    * `spec_model` - default `nil` (`str or None`). Top-level alias for
      `speculative_config["model"]`.
    * `spec_tokens` - default `nil` (`int or None`). Top-level alias for
      `speculative_config["num_speculative_tokens"]`.
    * `rpc: [timeout: ms]` - none by default: models take as long as they take

  ## Returns

  A reference to the LLM. It lives until `shutdown/1`; with `rpc: [link: true]` it is shut
  down when the calling process ends.

  ## Errors

    * `:invalid` - an unknown option, or a value of the wrong type; also `data_parallel_size`
      above 1, which vLLM's `LLM` does not support
    * `:engine_error` - the engine did not start; the message is the cause from its log, whose
      last lines are in `details["log"]`
    * `:python` - any other failure on the way, such as a model that is not found
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, llm} = Vllm.LLM.new("facebook/opt-125m")
      {:ok, llm} = Vllm.LLM.new(MyApp.Vllm, "facebook/opt-125m", dtype: "float32", max_model_len: 512)
  """
  @doc group: :lifecycle
  @spec new(String.t()) :: {:ok, llm()} | {:error, Error.t()}
  def new(model) do
    Call.invoke_class("LLM", "new", 1, [model])
  end

  @doc "See `new/1`."
  @doc group: :lifecycle
  @spec new(worker() | String.t(), String.t() | Call.args_or_opts()) ::
          {:ok, llm()} | {:error, Error.t()}
  def new(worker_or_model, model_or_opts) do
    Call.invoke_class("LLM", "new", 1, [worker_or_model, model_or_opts])
  end

  @doc "See `new/1`."
  @doc group: :lifecycle
  @spec new(worker() | String.t(), String.t() | [term()], Call.args_or_opts() | keyword()) ::
          {:ok, llm()} | {:error, Error.t()}
  def new(worker_or_model, model_or_args, args_or_opts) do
    Call.invoke_class("LLM", "new", 1, [worker_or_model, model_or_args, args_or_opts])
  end

  @doc "See `new/1`."
  @doc group: :lifecycle
  @spec new(worker(), String.t(), [term()], keyword()) :: {:ok, llm()} | {:error, Error.t()}
  def new(worker, model, args, opts) do
    Call.invoke_class("LLM", "new", 1, [worker, model, args, opts])
  end

  @doc """
  Create an LLM instance from EngineArgs.

  Unlike `new/1`, it has statistics on unless `disable_log_stats: true` is given, as in
  Python.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `engine_args` - `t:Vllm.EngineArgs.t/0`, a keyword list or a map

  ## Options

    * `rpc: [timeout: ms]` - none by default: models take as long as they take

  ## Returns

  A reference to the LLM, as of `new/1`.

  ## Errors

    * `:invalid` - an unknown engine argument, or a value of the wrong type
    * `:engine_error` - the engine did not start, as of `new/1`
    * `:python` - any other failure on the way, such as a model that is not found
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, llm} = Vllm.LLM.from_engine_args(model: "facebook/opt-125m")
      {:ok, llm} = Vllm.LLM.from_engine_args(MyApp.Vllm, %Vllm.EngineArgs{model: "facebook/opt-125m"})
  """
  @doc group: :lifecycle
  @spec from_engine_args(Vllm.EngineArgs.t() | keyword() | map()) ::
          {:ok, llm()} | {:error, Error.t()}
  def from_engine_args(engine_args) do
    Call.invoke_class("LLM", "from_engine_args", 1, [engine_args])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(
          worker() | Vllm.EngineArgs.t() | keyword() | map(),
          Vllm.EngineArgs.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, llm()} | {:error, Error.t()}
  def from_engine_args(worker_or_engine_args, engine_args_or_opts) do
    Call.invoke_class("LLM", "from_engine_args", 1, [worker_or_engine_args, engine_args_or_opts])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(
          worker() | Vllm.EngineArgs.t() | keyword() | map(),
          Vllm.EngineArgs.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, llm()} | {:error, Error.t()}
  def from_engine_args(worker_or_engine_args, engine_args_or_args, args_or_opts) do
    Call.invoke_class("LLM", "from_engine_args", 1, [
      worker_or_engine_args,
      engine_args_or_args,
      args_or_opts
    ])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(worker(), Vllm.EngineArgs.t() | keyword() | map(), [term()], keyword()) ::
          {:ok, llm()} | {:error, Error.t()}
  def from_engine_args(worker, engine_args, args, opts) do
    Call.invoke_class("LLM", "from_engine_args", 1, [worker, engine_args, args, opts])
  end

  @doc """
  Shut the LLM down and end its processes. In Python that is what `del llm` does.

  It does not wait for its turn: a batch that runs is aborted, and its caller gets
  `:engine_dead`. The worker and its other engines go on.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `timeout` - default `nil` (`float or None`). Seconds that the processes may take to end by
      themselves
    * `rpc: [timeout: ms]` - by default 600 s: it may wait for processes, see `timeout`

  ## Returns

  `nil`, also when the LLM was shut down before.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.shutdown(llm)
  """
  @doc group: :lifecycle
  @spec shutdown(llm(), Call.args_or_opts(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def shutdown(llm, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "shutdown", [], args_or_opts, opts)
  end

  ## Generation

  @doc """
  Generates the completions for the input prompts.

  This class automatically batches the given prompts, considering the memory constraint. For
  the best performance, put all of your prompts into a single list and pass it to this method.

  Requests that were enqueued before run too, and their outputs are returned with the others.

  ## Arguments

    * `llm` - the LLM
    * `prompts` - a prompt, or a list of them, with images, videos or audio in
      `multi_modal_data` (see the guide *Images, videos and audio*)

  ## Options

    * `sampling_params` - default `nil` (`SamplingParams or Sequence[SamplingParams] or None`).
      `t:Vllm.SamplingParams.t/0`, a keyword list or a map for all prompts; or a list with one
      for each
    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If `True`, shows a
      tqdm progress bar. If a callable (e.g., `functools.partial(tqdm, leave=False)`), it is
      used to create the progress bar. If `False`, no progress bar is created.
    * `lora_request` - default `nil` (`Sequence[LoRARequest] or LoRARequest or None`). LoRA
      request to use for generation, if any.
    * `priority` - default `nil` (`int or Sequence[int] or None`). The priority of the requests,
      if any. Only applicable when priority scheduling policy is enabled. When it is a single
      value, it is applied to every prompt. When it is a list, the list must have the same
      length as the prompts and it is paired one by one with the prompt.
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `tokenizer.encode`.
    * `mm_processor_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `processor.__call__`.
    * `rpc: [timeout: ms]` - none by default: its time is that of the batch

  ## Returns

  A list of `t:Vllm.RequestOutput.t/0`, in the order of the prompts.

  ## Errors

    * `:invalid` - a prompt or parameter is wrong, or two lists differ in length; nothing has
      run
    * `:conflict` - the LLM sleeps, or its weights are being changed
    * `:engine_error` - vLLM failed a request; the whole batch is aborted
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [output]} = Vllm.LLM.generate(llm, "Hello", sampling_params: [max_tokens: 16])
      params = [%{max_tokens: 16}, %{max_tokens: 8}]
      {:ok, outputs} = Vllm.LLM.generate(llm, ["Hello", "Bye"], sampling_params: params)
  """
  @doc group: :generation
  @spec generate(llm(), prompt() | [prompt()], Call.args_or_opts(), keyword()) ::
          {:ok, [Vllm.RequestOutput.t()]} | {:error, Error.t()}
  def generate(llm, prompts, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "generate", [prompts], args_or_opts, opts)
  end

  @doc """
  Generate responses for a chat conversation.

  The chat conversation is converted into a text prompt using the tokenizer and calls the
  [generate][vllm.LLM.generate] method to generate the responses.

  Multi-modal inputs can be passed in the same way you would pass them to the OpenAI API.

  Requests that were enqueued before run too, and their outputs are returned with the others.

  ## Arguments

    * `llm` - the LLM
    * `messages` - a conversation, or a list of them; each is a list of maps with `role` and
      `content`

  ## Options

    * `sampling_params` - default `nil` (`SamplingParams or Sequence[SamplingParams] or None`).
      The sampling parameters for text generation. If None, we use the default sampling
      parameters. When it is a single value, it is applied to every prompt. When it is a list,
      the list must have the same length as the prompts and it is paired one by one with the
      prompt.
    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If `True`, shows a
      tqdm progress bar. If a callable (e.g., `functools.partial(tqdm, leave=False)`), it is
      used to create the progress bar. If `False`, no progress bar is created.
    * `lora_request` - default `nil` (`Sequence[LoRARequest] or LoRARequest or None`). LoRA
      request to use for generation, if any.
    * `priority` - default `nil` (`int or Sequence[int] or None`). The priority of the requests,
      if any. Only applicable when priority scheduling policy is enabled. When it is a single
      value, it is applied to every prompt. When it is a list, the list must have the same
      length as the prompts and it is paired one by one with the prompt.
    * `chat_template` - default `nil` (`str or None`). The template to use for structuring the
      chat. If not provided, the model's default chat template will be used.
    * `chat_template_content_format` - default `"auto"` (`Literal['auto', 'string', 'openai']`).
      The format to render message content.

      - "string" will render the content as a string. Example: `"Who are you?"`
      - "openai" will render the content as a list of dictionaries, similar to OpenAI schema.
        Example: `[{"type": "text", "text": "Who are you?"}]`

    * `add_generation_prompt` - default `true` (`bool`). If True, adds a generation template to
      each message.
    * `continue_final_message` - default `false` (`bool`). If True, continues the final message
      in the conversation instead of starting a new one. Cannot be `True` if
      `add_generation_prompt` is also `True`.
    * `tools` - default `nil` (`list[dict[str, Any]] or None`). Tools to make available to the
      model, if any.
    * `chat_template_kwargs` - default `nil` (`dict[str, Any] or None`). Additional kwargs to
      pass to the chat template.
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `tokenizer.encode`.
    * `mm_processor_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `processor.__call__`.
    * `rpc: [timeout: ms]` - none by default: its time is that of the batch

  ## Returns

  A list of `t:Vllm.RequestOutput.t/0`, in the order of the conversations.

  ## Errors

    * `:invalid` - a message or parameter is wrong, or a conversation is too long; nothing has
      run
    * `:conflict` - the LLM sleeps, or its weights are being changed
    * `:engine_error` - vLLM failed a request; the whole batch is aborted
    * those of every call, see `Vllm.LLM`

  ## Example

      messages = [%{role: "user", content: "Hello"}]
      {:ok, [output]} = Vllm.LLM.chat(llm, messages, sampling_params: [max_tokens: 16])
  """
  @doc group: :generation
  @spec chat(llm(), conversation() | [conversation()], Call.args_or_opts(), keyword()) ::
          {:ok, [Vllm.RequestOutput.t()]} | {:error, Error.t()}
  def chat(llm, messages, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "chat", [messages], args_or_opts, opts)
  end

  @doc """
  Enqueue prompts for generation without waiting for completion.

  This method adds requests to the engine queue but does not start processing them. Use
  wait_for_completion() to process the queued requests and get results.

  ## Arguments

    * `llm` - the LLM
    * `prompts` - a prompt, or a list of them

  ## Options

    * `sampling_params` - default `nil` (`SamplingParams or Sequence[SamplingParams] or None`).
      The sampling parameters for text generation.
    * `lora_request` - default `nil` (`Sequence[LoRARequest] or LoRARequest or None`). LoRA
      request to use for generation, if any.
    * `priority` - default `nil` (`int or Sequence[int] or None`). The priority of the requests,
      if any. Only applicable when priority scheduling policy is enabled. When it is a single
      value, it is applied to every prompt. When it is a list, the list must have the same
      length as the prompts and it is paired one by one with the prompt.
    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If True, shows a tqdm
      progress bar while adding requests.
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `tokenizer.encode`.
    * `mm_processor_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `processor.__call__`.
    * `rpc: [timeout: ms]` - none by default: it tokenizes every prompt

  ## Returns

  A list of ids, one for each prompt.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:conflict` - the LLM's weights are being changed
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, ids} = Vllm.LLM.enqueue(llm, ["Hello", "Bye"], sampling_params: [max_tokens: 16])
      {:ok, outputs} = Vllm.LLM.wait_for_completion(llm)
  """
  @doc group: :generation
  @spec enqueue(llm(), prompt() | [prompt()], Call.args_or_opts(), keyword()) ::
          {:ok, [String.t()]} | {:error, Error.t()}
  def enqueue(llm, prompts, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "enqueue", [prompts], args_or_opts, opts)
  end

  @doc """
  Enqueue chat conversations for generation without waiting.

  This method renders chat conversations and adds the resulting requests to the engine queue.
  Use wait_for_completion() to get results. To guarantee that all requests are queued before
  scheduling starts, pause scheduling with sleep(level=0) before calling this method and
  resume it with wake_up(tags=["scheduling"]) afterward.

  ## Arguments

    * `llm` - the LLM
    * `messages` - a conversation, or a list of them, as of `chat/4`

  ## Options

    * `sampling_params` - default `nil` (`SamplingParams or Sequence[SamplingParams] or None`).
      The sampling parameters for text generation. If None, we use the default sampling
      parameters.
    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If `True`, shows a
      tqdm progress bar while rendering conversations.
    * `lora_request` - default `nil` (`Sequence[LoRARequest] or LoRARequest or None`). LoRA
      request to use for generation, if any.
    * `priority` - default `nil` (`int or Sequence[int] or None`). The priority of the requests,
      if any. Only applicable when priority scheduling policy is enabled. When it is a single
      value, it is applied to every prompt. When it is a list, the list must have the same
      length as the prompts and it is paired one by one with the prompt.
    * `chat_template` - default `nil` (`str or None`). The template to use for structuring the
      chat.
    * `chat_template_content_format` - default `"auto"` (`Literal['auto', 'string', 'openai']`).
      The format to render message content.
    * `add_generation_prompt` - default `true` (`bool`). If True, adds a generation template to
      each message.
    * `continue_final_message` - default `false` (`bool`). If True, continues the final message
      in the conversation instead of starting a new one.
    * `tools` - default `nil` (`list[dict[str, Any]] or None`). Tools to make available to the
      model, if any.
    * `chat_template_kwargs` - default `nil` (`dict[str, Any] or None`). Additional kwargs to
      pass to the chat template.
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `tokenizer.encode`.
    * `mm_processor_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `processor.__call__`.
    * `rpc: [timeout: ms]` - none by default: it renders every conversation

  ## Returns

  A list of ids, one for each conversation.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:conflict` - the LLM's weights are being changed
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [id]} = Vllm.LLM.enqueue_chat(llm, [%{role: "user", content: "Hello"}])
      {:ok, outputs} = Vllm.LLM.wait_for_completion(llm)
  """
  @doc group: :generation
  @spec enqueue_chat(llm(), conversation() | [conversation()], Call.args_or_opts(), keyword()) ::
          {:ok, [String.t()]} | {:error, Error.t()}
  def enqueue_chat(llm, messages, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "enqueue_chat", [messages], args_or_opts, opts)
  end

  @doc """
  Wait for all enqueued requests to complete and return results.

  This method processes all requests currently in the engine queue and returns their outputs.
  Use after enqueue() to get results.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `output_type` - default `nil` (`type[Any] or tuple[type[Any], ...] or None`).
      `"RequestOutput"` or `"PoolingRequestOutput"`, where only that is expected
    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If True, shows a tqdm
      progress bar.
    * `rpc: [timeout: ms]` - none by default: its time is that of the batch

  ## Returns

  A list of outputs in the order in which the requests were enqueued; `[]` where none was.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:conflict` - the LLM sleeps; what was enqueued stays
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, outputs} = Vllm.LLM.wait_for_completion(llm)
  """
  @doc group: :generation
  @spec wait_for_completion(llm(), Call.args_or_opts(), keyword()) ::
          {:ok, [Vllm.RequestOutput.t() | Vllm.PoolingRequestOutput.t()]} | {:error, Error.t()}
  def wait_for_completion(llm, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "wait_for_completion", [], args_or_opts, opts)
  end

  @doc """
  Generate sequences using beam search.

  The LLM must have `max_logprobs` of at least twice the width of the beam. Its progress is
  counted in steps: as many as there may be tokens, for each part of `concurrency_limit`
  prompts. It may end earlier.

  ## Arguments

    * `llm` - the LLM
    * `prompts` - a list of prompts
    * `params` - `t:Vllm.BeamSearchParams.t/0`, a keyword list or a map

  ## Options

    * `lora_request` - default `nil` (`list[LoRARequest] or LoRARequest or None`). LoRA request
      to use for generation, if any.
    * `use_tqdm` - default `false` (`bool`). Whether to use tqdm to display the progress bar.
    * `concurrency_limit` - default `nil` (`int or None`). The maximum number of concurrent
      requests. If None, the number of concurrent requests is unlimited.
    * `rpc: [timeout: ms]` - none by default: its time is that of the batch

  ## Returns

  A list of `t:Vllm.BeamSearchOutput.t/0`, in the order of the prompts.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:conflict` - the LLM sleeps, or its weights are being changed
    * `:unsupported` - a prompt of embeddings
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [output]} = Vllm.LLM.beam_search(llm, ["Hello"], beam_width: 2, max_tokens: 8)
      hd(output.sequences).text
  """
  @doc group: :generation
  @spec beam_search(
          llm(),
          [prompt()],
          Vllm.BeamSearchParams.t() | keyword() | map(),
          Call.args_or_opts(),
          keyword()
        ) :: {:ok, [Vllm.BeamSearchOutput.t()]} | {:error, Error.t()}
  def beam_search(llm, prompts, params, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "beam_search", [prompts, params], args_or_opts, opts)
  end

  ## Pooling

  @doc """
  Apply pooling to the hidden states corresponding to the input prompts.

  This class automatically batches the given prompts, considering the memory constraint. For
  the best performance, put all of your prompts into a single list and pass it to this method.

  ## Arguments

    * `llm` - the LLM
    * `prompts` - a prompt, or a list of them

  ## Options

    * `pooling_params` - default `nil` (`PoolingParams or Sequence[PoolingParams] or None`). The
      pooling parameters for pooling. If None, we use the default pooling parameters.
    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If `True`, shows a
      tqdm progress bar. If a callable (e.g., `functools.partial(tqdm, leave=False)`), it is
      used to create the progress bar. If `False`, no progress bar is created.
    * `lora_request` - default `nil` (`list[LoRARequest] or LoRARequest or None`). LoRA request
      to use for generation, if any.
    * `pooling_task` - default `nil` (`PoolingTask or None`). Required: `"embed"`, `"classify"`,
      `"token_embed"` or `"token_classify"`, as the model can
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `tokenizer.encode`.
    * `rpc: [timeout: ms]` - none by default: its time is that of the batch

  ## Returns

  A list of `t:Vllm.PoolingRequestOutput.t/0`, in the order of the prompts.

  ## Errors

    * `:invalid` - the model does not pool, or not for this task; or an argument is wrong
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [output]} = Vllm.LLM.encode(llm, "Hello", pooling_task: "token_embed")
  """
  @doc group: :pooling
  @spec encode(llm(), prompt() | [prompt()], Call.args_or_opts(), keyword()) ::
          {:ok, [Vllm.PoolingRequestOutput.t()]} | {:error, Error.t()}
  def encode(llm, prompts, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "encode", [prompts], args_or_opts, opts)
  end

  @doc """
  Generate an embedding vector for each prompt.

  This class automatically batches the given prompts, considering the memory constraint. For
  the best performance, put all of your prompts into a single list and pass it to this method.

  ## Arguments

    * `llm` - the LLM
    * `prompts` - a prompt, or a list of them

  ## Options

    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If `True`, shows a
      tqdm progress bar. If a callable (e.g., `functools.partial(tqdm, leave=False)`), it is
      used to create the progress bar. If `False`, no progress bar is created.
    * `pooling_params` - default `nil` (`PoolingParams or Sequence[PoolingParams] or None`). The
      pooling parameters for pooling. If None, we use the default pooling parameters.
    * `lora_request` - default `nil` (`list[LoRARequest] or LoRARequest or None`). LoRA request
      to use for generation, if any.
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `tokenizer.encode`.
    * `rpc: [timeout: ms]` - none by default: its time is that of the batch

  ## Returns

  A list of `t:Vllm.EmbeddingRequestOutput.t/0`, in the order of the prompts.

  ## Errors

    * `:invalid` - the model makes no embeddings, or an argument is wrong
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [output]} = Vllm.LLM.embed(llm, "Hello")
      output.outputs.embedding
  """
  @doc group: :pooling
  @spec embed(llm(), prompt() | [prompt()], keyword()) ::
          {:ok, [Vllm.EmbeddingRequestOutput.t()]} | {:error, Error.t()}
  def embed(llm, prompts, opts \\ []) do
    Call.invoke(llm, "embed", [prompts], opts)
  end

  @doc """
  Generate class logits for each prompt.

  This class automatically batches the given prompts, considering the memory constraint. For
  the best performance, put all of your prompts into a single list and pass it to this method.

  ## Arguments

    * `llm` - the LLM
    * `prompts` - a prompt, or a list of them

  ## Options

    * `pooling_params` - default `nil` (`PoolingParams or Sequence[PoolingParams] or None`). The
      pooling parameters for pooling. If None, we use the default pooling parameters.
    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If `True`, shows a
      tqdm progress bar. If a callable (e.g., `functools.partial(tqdm, leave=False)`), it is
      used to create the progress bar. If `False`, no progress bar is created.
    * `lora_request` - default `nil` (`list[LoRARequest] or LoRARequest or None`). LoRA request
      to use for generation, if any.
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `tokenizer.encode`.
    * `rpc: [timeout: ms]` - none by default: its time is that of the batch

  ## Returns

  A list of `t:Vllm.ClassificationRequestOutput.t/0`, in the order of the prompts.

  ## Errors

    * `:invalid` - the model does not classify, or an argument is wrong
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [output]} = Vllm.LLM.classify(llm, "Hello")
      output.outputs.probs
  """
  @doc group: :pooling
  @spec classify(llm(), prompt() | [prompt()], keyword()) ::
          {:ok, [Vllm.ClassificationRequestOutput.t()]} | {:error, Error.t()}
  def classify(llm, prompts, opts \\ []) do
    Call.invoke(llm, "classify", [prompts], opts)
  end

  @doc """
  Generate similarity scores for all pairs `<text,text_pair>` or `<multi-modal data,
  multi-modal data pair>`.

  The inputs can be `1 -> 1`, `1 -> N` or `N -> N`. In the `1 - N` case the `data_1` input
  will be replicated `N` times to pair with the `data_2` inputs. The input pairs are used to
  build a list of prompts for the cross encoder model. This class automatically batches the
  prompts, considering the memory constraint. For the best performance, put all of your inputs
  into a single list and pass it to this method.

  Supports both text and multi-modal data (images, etc.) when used with appropriate
  multi-modal models. For multi-modal inputs, ensure the prompt structure matches the model's
  expected input format.

  ## Arguments

    * `llm` - the LLM
    * `data_1` - a text, or a list of them
    * `data_2` - a text or a list of them: as many as `data_1` has, or any number where that is
      one

  ## Options

    * `use_tqdm` - default `true` (`bool or Callable[..., tqdm_asyncio]`). If `True`, shows a
      tqdm progress bar. If a callable (e.g., `functools.partial(tqdm, leave=False)`), it is
      used to create the progress bar. If `False`, no progress bar is created.
    * `pooling_params` - default `nil` (`PoolingParams or None`). The pooling parameters for
      pooling. If None, we use the default pooling parameters.
    * `lora_request` - default `nil` (`list[LoRARequest] or LoRARequest or None`). LoRA request
      to use for generation, if any.
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Overrides for
      `tokenizer.encode`.
    * `chat_template` - default `nil` (`str or None`). The chat template to use for the scoring.
      If None, we use the model's default chat template.
    * `rpc: [timeout: ms]` - none by default: its time is that of the batch

  ## Returns

  A list of `t:Vllm.ScoringRequestOutput.t/0`, in the order of the pairs.

  ## Errors

    * `:invalid` - the model does not score, or an argument is wrong
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [first, second]} = Vllm.LLM.score(llm, "a cat", ["a kitten", "a car"])
      first.outputs.score
  """
  @doc group: :pooling
  @spec score(
          llm(),
          String.t() | map() | [String.t() | map()],
          String.t() | map() | [String.t() | map()],
          keyword()
        ) :: {:ok, [Vllm.ScoringRequestOutput.t()]} | {:error, Error.t()}
  def score(llm, data_1, data_2, opts \\ []) do
    Call.invoke(llm, "score", [data_1, data_2], opts)
  end

  ## Control

  @doc """
  Put the engine to sleep. The engine should not process any requests. The caller should
  guarantee that no requests are being processed during the sleep period, before `wake_up` is
  called.

  Memory is freed where the LLM has `enable_sleep_mode` and the platform can; otherwise, as on
  CPU, only scheduling stops. A batch that would run meanwhile is refused as `:conflict`,
  where Python would hang; requests can be enqueued.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `level` - default `1` (`int`). `0`, `1` or `2`
    * `mode` - default `"abort"` (`Literal['abort', 'wait', 'keep']`). How to handle any
      existing requests, can be "abort", "wait", or "keep".
    * `rpc: [timeout: ms]` - none with `mode: "wait"`: then its time is that of the requests
      that were enqueued

  ## Returns

  `nil`, when the engine sleeps.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.sleep(llm, level: 0)
      {:ok, true} = Vllm.LLM.wake_up(llm)
  """
  @doc group: :control
  @spec sleep(llm(), Call.args_or_opts(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def sleep(llm, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "sleep", [], args_or_opts, opts)
  end

  @doc """
  Wake up the engine from sleep mode. See the [sleep][vllm.LLM.sleep] method for more details.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `tags` - default `nil` (`list[str] or None`). `"weights"`, `"kv_cache"`, `"scheduling"`;
      all of them by default

  ## Returns

  Whether the engine is fully awake: `false` while some tags still sleep.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:conflict` - the weights are being changed
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, false} = Vllm.LLM.wake_up(llm, tags: ["weights"])
      {:ok, true} = Vllm.LLM.wake_up(llm)
  """
  @doc group: :control
  @spec wake_up(llm(), Call.args_or_opts(), keyword()) :: {:ok, boolean()} | {:error, Error.t()}
  def wake_up(llm, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "wake_up", [], args_or_opts, opts)
  end

  ## Cache

  @doc """
  Reset the prefix cache.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `reset_running_requests` - default `false` (`bool`). Whether requests in flight give up
      their blocks; they start anew by themselves
    * `reset_connector` - default `false` (`bool`). Whether a KV connector's cache is reset too

  ## Returns

  Whether it was reset: `false` while requests are in flight.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, true} = Vllm.LLM.reset_prefix_cache(llm)
  """
  @doc group: :cache
  @spec reset_prefix_cache(llm(), Call.args_or_opts(), keyword()) ::
          {:ok, boolean()} | {:error, Error.t()}
  def reset_prefix_cache(llm, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "reset_prefix_cache", [], args_or_opts, opts)
  end

  @doc """
  Reset the cache of multimodal inputs.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.reset_mm_cache(llm)
  """
  @doc group: :cache
  @spec reset_mm_cache(llm(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def reset_mm_cache(llm, opts \\ []) do
    Call.invoke(llm, "reset_mm_cache", [], opts)
  end

  @doc """
  Release the GPU physical memory backing the KV cache.

  Requires a completed `sleep(level=0)` and resident executor memory. Restore with
  `wake_up(tags=["kv_cache"])`; kept requests are recomputed.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  `nil`.

  ## Errors

    * `:engine_error` - the LLM does not sleep, or its platform cannot: there is no such memory
      on CPU
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.release_kv_cache_memory(llm)
  """
  @doc group: :cache
  @spec release_kv_cache_memory(llm(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def release_kv_cache_memory(llm, opts \\ []) do
    Call.invoke(llm, "release_kv_cache_memory", [], opts)
  end

  ## Introspection

  @doc """
  Return a transformers-style hierarchical view of the model.

  In Python it is `repr(llm)`. It is fetched from the model's process once.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  A text of several lines: the layers of the model.

  ## Errors

    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, text} = Vllm.LLM.inspect_model(llm)
      IO.puts(text)
  """
  @doc group: :introspection
  @spec inspect_model(llm(), keyword()) :: {:ok, String.t()} | {:error, Error.t()}
  def inspect_model(llm, opts \\ []) do
    Call.invoke(llm, "__repr__", [], opts)
  end

  @doc """
  Get the tokenizer of the LLM.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  A reference for `Vllm.call/4`. It is released with the calling process.

  ## Errors

    * `:invalid` - the LLM was built with `skip_tokenizer_init`
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, tokenizer} = Vllm.LLM.get_tokenizer(llm)
      {:ok, ids} = Vllm.call(tokenizer, "encode", ["Hello"])
  """
  @doc group: :introspection
  @spec get_tokenizer(llm(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def get_tokenizer(llm, opts \\ []) do
    Call.invoke(llm, "get_tokenizer", [], opts)
  end

  @doc """
  Get the world size from the parallel config.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `include_dp` - default `true` (`bool`). If True (default), returns the world size
      including data parallelism (TP * PP * DP). If False, returns the world size without data
      parallelism (TP * PP).

  ## Returns

  An integer.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, 1} = Vllm.LLM.get_world_size(llm)
  """
  @doc group: :introspection
  @spec get_world_size(llm(), Call.args_or_opts(), keyword()) ::
          {:ok, integer()} | {:error, Error.t()}
  def get_world_size(llm, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "get_world_size", [], args_or_opts, opts)
  end

  @doc """
  Get the sampling parameters that a batch has where none are given: those of the model's
  `generation_config.json`, and vLLM's own.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  `t:Vllm.SamplingParams.t/0`.

  ## Errors

    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, %Vllm.SamplingParams{}} = Vllm.LLM.get_default_sampling_params(llm)
  """
  @doc group: :introspection
  @spec get_default_sampling_params(llm(), keyword()) ::
          {:ok, Vllm.SamplingParams.t()} | {:error, Error.t()}
  def get_default_sampling_params(llm, opts \\ []) do
    Call.invoke(llm, "get_default_sampling_params", [], opts)
  end

  @doc """
  Return a snapshot of aggregated metrics from Prometheus.

  Note: This method is only available with the V1 LLM engine.

  The LLM must be built with `disable_log_stats: false`. The metrics are those of this LLM,
  whatever other engines the worker has. `Vllm.metrics/1` has fewer of them, of every engine.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  A list of `t:Vllm.Counter.t/0`, `t:Vllm.Gauge.t/0`, `t:Vllm.Histogram.t/0` and
  `t:Vllm.Vector.t/0`.

  ## Errors

    * `:unsupported` - the LLM was built without statistics, which is the default
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, metrics} = Vllm.LLM.get_metrics(llm)
  """
  @doc group: :introspection
  @spec get_metrics(llm(), keyword()) ::
          {:ok, [Vllm.Counter.t() | Vllm.Gauge.t() | Vllm.Histogram.t() | Vllm.Vector.t()]}
          | {:error, Error.t()}
  def get_metrics(llm, opts \\ []) do
    Call.invoke(llm, "get_metrics", [], opts)
  end

  @doc """
  How many requests are queued or running.

  It does not wait for its turn.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  An integer.

  ## Errors

    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, 0} = Vllm.LLM.get_num_unfinished_requests(llm)
  """
  @doc group: :introspection
  @spec get_num_unfinished_requests(llm(), keyword()) :: {:ok, integer()} | {:error, Error.t()}
  def get_num_unfinished_requests(llm, opts \\ []) do
    Call.invoke(llm, "get_num_unfinished_requests", [], opts)
  end

  @doc """
  Whether the engine has died, or has been shut down.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  A boolean.

  ## Errors

    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, false} = Vllm.LLM.errored(llm)
  """
  @doc group: :introspection
  @spec errored(llm()) :: {:ok, boolean()} | {:error, Error.t()}
  def errored(llm) do
    Call.invoke(llm, "errored")
  end

  @doc """
  The error that calls of a dead engine end with.

  It is made anew each time, and of a healthy engine too: ask `errored/1` whether it is dead.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  A `Vllm.Error` of the kind `:engine_dead`, as data: `{:ok, %Vllm.Error{}}`.

  ## Errors

    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, %Vllm.Error{kind: :engine_dead}} = Vllm.LLM.dead_error(llm)
  """
  @doc group: :introspection
  @spec dead_error(llm()) :: {:ok, Error.t()} | {:error, Error.t()}
  def dead_error(llm) do
    Call.invoke(llm, "dead_error")
  end

  ## Profiling

  @doc """
  Start profiling with optional per-session overrides.

  The LLM must be built with `profiler_config: %{"profiler" => "torch", "torch_profiler_dir"
  => "/an/absolute/path"}`.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `profile_prefix` - default `nil` (`str or None`). Optional prefix for the trace file
      names. If provided, trace files will be named as "<prefix>_dp<X>_pp<Y>_tp<Z>". If not
      provided, default naming will be used.
    * `delay_iterations` - default `nil` (`int or None`). Optional number of worker iterations
      to skip before profiling starts.
    * `max_iterations` - default `nil` (`int or None`). Optional maximum number of worker
      iterations to profile. Zero means no limit.

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:conflict` - a profile is already being taken
    * `:engine_error` - the LLM was built without a profiler
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.start_profile(llm, profile_prefix: "run-1")
  """
  @doc group: :profiling
  @spec start_profile(llm(), Call.args_or_opts(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def start_profile(llm, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "start_profile", [], args_or_opts, opts)
  end

  @doc """
  Stop profiling, and write the traces.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: writing the traces takes minutes with large
      models

  ## Returns

  `nil`, when the traces are written; also when none was being taken.

  ## Errors

    * `:engine_error` - the LLM was built without a profiler
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.stop_profile(llm)
  """
  @doc group: :profiling
  @spec stop_profile(llm(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def stop_profile(llm, opts \\ []) do
    Call.invoke(llm, "stop_profile", [], opts)
  end

  ## Weights

  @doc """
  Return the latest committed weight version.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  A string; `"default"` before any was set. Outputs carry it in `weight_versions`.

  ## Errors

    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, "default"} = Vllm.LLM.get_weight_version(llm)
  """
  @doc group: :weights
  @spec get_weight_version(llm(), keyword()) :: {:ok, String.t()} | {:error, Error.t()}
  def get_weight_version(llm, opts \\ []) do
    Call.invoke(llm, "get_weight_version", [], opts)
  end

  @doc """
  Set the weight version without updating weights.

  ## Arguments

    * `llm` - the LLM
    * `new_version` - a string

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.update_weight_version(llm, "step-100")
  """
  @doc group: :weights
  @spec update_weight_version(llm(), String.t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def update_weight_version(llm, new_version, opts \\ []) do
    Call.invoke(llm, "update_weight_version", [new_version], opts)
  end

  @doc """
  Initialize weight transfer for RL training.

  ## Arguments

    * `llm` - the LLM
    * `request` - `t:Vllm.WeightTransferInitRequest.t/0`, or a map with `init_info`

  ## Options

    * `rpc: [timeout: ms]` - none by default: it waits for the trainer to connect

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:engine_error` - the LLM was built without a `weight_transfer_config`, or its backend
      cannot start
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.init_weight_transfer_engine(llm, %{init_info: %{}})
  """
  @doc group: :weights
  @spec init_weight_transfer_engine(llm(), Vllm.WeightTransferInitRequest.t() | map(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def init_weight_transfer_engine(llm, request, opts \\ []) do
    Call.invoke(llm, "init_weight_transfer_engine", [request], opts)
  end

  @doc """
  Start a new weight update.

  Until `finish_weight_update/1` the LLM has no weights to compute with: batches are refused
  as `:conflict`.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: all weights are touched

  ## Returns

  `nil`.

  ## Errors

    * `:conflict` - requests are queued, or an update is open
    * `:engine_error` - the LLM was built without a `weight_transfer_config`
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.start_weight_update(llm)
  """
  @doc group: :weights
  @spec start_weight_update(llm(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def start_weight_update(llm, opts \\ []) do
    Call.invoke(llm, "start_weight_update", [], opts)
  end

  @doc """
  Start a new weight update targeting the speculative draft model.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: all weights are touched

  ## Returns

  `nil`.

  ## Errors

    * `:conflict` - requests are queued, or an update is open
    * `:engine_error` - the LLM was built without a `weight_transfer_config`
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.start_draft_weight_update(llm)
  """
  @doc group: :weights
  @spec start_draft_weight_update(llm(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def start_draft_weight_update(llm, opts \\ []) do
    Call.invoke(llm, "start_draft_weight_update", [], opts)
  end

  @doc """
  Update the weights of the model.

  ## Arguments

    * `llm` - the LLM
    * `request` - `t:Vllm.WeightTransferUpdateRequest.t/0`, or a map with `update_info`

  ## Options

    * `rpc: [timeout: ms]` - none by default: it waits for the trainer to send

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:engine_error` - no update was started, or the LLM was built without a
      `weight_transfer_config`
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.update_weights(llm, %{update_info: %{}})
  """
  @doc group: :weights
  @spec update_weights(llm(), Vllm.WeightTransferUpdateRequest.t() | map(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def update_weights(llm, request, opts \\ []) do
    Call.invoke(llm, "update_weights", [request], opts)
  end

  @doc """
  Finish the weight update and set its version if provided.

  ## Arguments

    * `llm` - the LLM

  ## Options

    * `weight_version` - default `nil` (`str or None`). A label for the new weights
    * `rpc: [timeout: ms]` - by default 600 s: all weights are touched

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:engine_error` - no update was started, or the LLM was built without a
      `weight_transfer_config`
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.finish_weight_update(llm)
  """
  @doc group: :weights
  @spec finish_weight_update(llm(), Call.args_or_opts(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def finish_weight_update(llm, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "finish_weight_update", [], args_or_opts, opts)
  end

  @doc """
  Release the trainer connection without shutting down inference.

  ## Arguments

    * `llm` - the LLM

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, nil} = Vllm.LLM.shutdown_weight_transfer_engine(llm)
  """
  @doc group: :weights
  @spec shutdown_weight_transfer_engine(llm(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def shutdown_weight_transfer_engine(llm, opts \\ []) do
    Call.invoke(llm, "shutdown_weight_transfer_engine", [], opts)
  end

  ## Distributed

  @doc """
  Execute an RPC call on all workers.

  Note: It is recommended to use this API to only pass control messages, and set up data-plane
  communication to pass data.

  The bridge passes on methods whose result can be sent and that leave the engine usable, and
  the public methods of the class that the LLM was given as `worker_extension_cls`; others are
  refused. A function cannot be sent: see `apply_model/2`.

  ## Arguments

    * `llm` - the LLM
    * `method` - name of a method of the workers

  ## Options

    * `timeout` - default `nil` (`float or None`). Seconds; then the call fails with `:timeout`,
      and the workers go on
    * `args` - default `[]` (`tuple`). Positional arguments to pass to the worker method.
    * `kwargs` - default `nil` (`dict[str, Any] or None`). Keyword arguments to pass to the
      worker method.
    * `rpc: [timeout: ms]` - by default 600 s: methods such as `reload_weights` read all weights

  ## Returns

  A list with one result for each worker.

  ## Errors

    * `:invalid` - the method is not one that the bridge passes on, or an argument has the wrong
      type
    * `:engine_error` - the method raised; the message is the worker's
    * `:conflict` - the weights are being changed, or the method would change them under
      requests
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [nil]} =
        Vllm.LLM.collective_rpc(llm, "reload_weights", kwargs: %{"weights_path" => "/models/new"})
  """
  @doc group: :distributed
  @spec collective_rpc(llm(), String.t(), Call.args_or_opts(), keyword()) ::
          {:ok, [term()]} | {:error, Error.t()}
  def collective_rpc(llm, method, args_or_opts \\ [], opts \\ []) do
    Call.invoke(llm, "collective_rpc", [method], args_or_opts, opts)
  end

  @doc """
  Run a function directly on the model inside each worker, returning the result for each of
  them.

  !!! warning To reduce the overhead of data transfer, avoid returning large arrays or tensors
  from this method. If you must return them, make sure you move them to CPU first to avoid
  taking up additional VRAM!

  A function is named by its import path, and must be there on the worker's machine. It runs
  with the rights of the worker, so vLLM and the bridge allow it only where whoever starts the
  worker does: with `env: %{"VLLM_ALLOW_INSECURE_SERIALIZATION" => "1"}` in the instance's
  options.

  ## Arguments

    * `llm` - the LLM
    * `func` - import path of a function that takes the model: `"module:function"`

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: the function takes as long as it takes

  ## Returns

  A list with one result for each worker.

  ## Errors

    * `:invalid` - there is no such function
    * `:unsupported` - the operator of the worker does not allow it
    * `:engine_error` - the function raised; the message is the worker's
    * those of every call, see `Vllm.LLM`

  ## Example

      {:ok, [count]} = Vllm.LLM.apply_model(llm, "my_functions:count_parameters")
  """
  @doc group: :distributed
  @spec apply_model(llm(), String.t(), keyword()) :: {:ok, [term()]} | {:error, Error.t()}
  def apply_model(llm, func, opts \\ []) do
    Call.invoke(llm, "apply_model", [func], opts)
  end
end
