# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json and python_worker/gen/overlay/.
# It describes vLLM 0.32.0: see python_worker/gen/overlay.py.

defmodule Vllm.AsyncLLM do
  @moduledoc """
  vLLM's asynchronous engine.

  The functions have the names, the order of arguments and the arities of Python's `AsyncLLM`, and
  are documented with its words: a search for the Python name finds the function here. What
  Python requires is positional; the rest may follow as a list, by name, or both. Parameters that
  are classes in Python are taken as a struct, a keyword list or a map, and `None` is `nil`.

  Every function returns `{:ok, value}` or `{:error, %Vllm.Error{}}`, and accepts the options of
  the bridge under `rpc:`, see `Vllm.Call`.

  ## Errors of every call

    * `:stale_ref` - the engine belongs to an earlier worker, or was shut down and let go
    * `:engine_dead` - the engine has died or was shut down, and the call needs it
    * `:timeout` - the deadline passed: `rpc: [timeout: ms]`, 60 s unless the function says otherwise
    * `:worker_down` - the worker ended, or cannot be reached

  ## What is not served

  The attributes of the Python object are not functions here:

    * `admission_stats` - internal counters; `get_num_queued_tokens/1` and `check_admission/1` read them
    * `engine_core` - internal: a call on it reaches the engine unchecked
    * `input_processor` - internal: what it makes would reach the engine unchecked
    * `log_requests` - a setting; it is what `from_engine_args/1` was given
    * `log_stats` - a setting; it is what `from_engine_args/1` was given
    * `logger_manager` - internal; `do_log_stats/1` makes it log
    * `model_config` - a part of `vllm_config/1`
    * `observability_config` - a part of `vllm_config/1`
    * `output_handler` - internal: the task that moves outputs; `is_running/1` tells of it
    * `output_processor` - internal: a call on it changes requests behind the engine's back
    * `profiler` - internal; `start_profile/1` and `stop_profile/1` run it
    * `renderer` - internal; a `prompt` is rendered by it anyhow
    * `scheduler_config` - a part of `vllm_config/1`
  """

  alias Vllm.{Call, Error, Ref, Stream}

  @typedoc """
  An engine: the reference that `from_engine_args/1` returns, or the name of a declared one, such as
  `{MyApp.Vllm, :llama}`.
  """
  @type engine :: Vllm.engine()

  @typedoc "The name of an instance, or any reference whose worker is meant."
  @type worker :: Vllm.instance() | Ref.t()

  @typedoc "A reference for `Vllm.RequestOutputCollector`, as returned by `add_request/4`."
  @type collector :: Ref.t()

  @typedoc """
  A string, a list of token ids, a map or struct such as `t:Vllm.TokensPrompt.t/0`; where vLLM
  takes streaming input, also an enumerable of these or of `t:Vllm.StreamingInput.t/0`.
  """
  @type prompt :: String.t() | [term()] | map() | Enumerable.t()

  ## Lifecycle

  @doc """
  Create an AsyncLLM from the EngineArgs.

  Building takes half a minute or more: the model is loaded and warmed up. Other calls, also
  to other engines of the same worker, go on meanwhile.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `engine_args` - `t:Vllm.AsyncEngineArgs.t/0`, a keyword list or a map

  ## Options

    * `start_engine_loop` - default `true` (`bool`). Kept by vLLM for compatibility
    * `usage_context` - default `:ENGINE_CONTEXT` (`UsageContext`). Where the engine is used, as
      told to vLLM's usage statistics
    * `stat_loggers` - default `nil` (`list[StatLoggerFactory] or None`). Import paths
      (`"module:Class"`) of logger factories, which are added to vLLM's own
    * `rpc: [timeout: ms]` - none by default: models take as long as they take

  ## Returns

  A reference to the engine. It lives until `shutdown/1`; with `rpc: [link: true]` it is shut
  down when the calling process ends.

  ## Errors

    * `:invalid` - an unknown engine argument, or a value of the wrong type
    * `:engine_error` - the engine did not start; the message is the cause from its log, whose
      last lines are in `details["log"]`
    * `:python` - any other failure on the way, such as a model that is not found
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(model: "facebook/opt-125m")
      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(MyApp.Vllm, %{model: "facebook/opt-125m"})
  """
  @doc group: :lifecycle
  @spec from_engine_args(Vllm.AsyncEngineArgs.t() | keyword() | map()) ::
          {:ok, engine()} | {:error, Error.t()}
  def from_engine_args(engine_args) do
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, [engine_args])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(
          worker() | Vllm.AsyncEngineArgs.t() | keyword() | map(),
          Vllm.AsyncEngineArgs.t() | keyword() | map() | Call.args_or_opts()
        ) :: {:ok, engine()} | {:error, Error.t()}
  def from_engine_args(worker_or_engine_args, engine_args_or_opts) do
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, [
      worker_or_engine_args,
      engine_args_or_opts
    ])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(
          worker() | Vllm.AsyncEngineArgs.t() | keyword() | map(),
          Vllm.AsyncEngineArgs.t() | keyword() | map() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, engine()} | {:error, Error.t()}
  def from_engine_args(worker_or_engine_args, engine_args_or_args, args_or_opts) do
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, [
      worker_or_engine_args,
      engine_args_or_args,
      args_or_opts
    ])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(
          worker(),
          Vllm.AsyncEngineArgs.t() | keyword() | map(),
          [term()],
          keyword()
        ) :: {:ok, engine()} | {:error, Error.t()}
  def from_engine_args(worker, engine_args, args, opts) do
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, [worker, engine_args, args, opts])
  end

  @doc """
  Create an AsyncLLM from a configuration that `Vllm.AsyncEngineArgs.create_engine_config/1`
  made.

  Building takes half a minute or more, as with `from_engine_args/1`.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `vllm_config` - a reference to a `VllmConfig`; the engine is built where it lives

  ## Options

    * `start_engine_loop` - default `true` (`bool`). Kept by vLLM for compatibility
    * `usage_context` - default `:ENGINE_CONTEXT` (`UsageContext`). Where the engine is used, as
      told to vLLM's usage statistics
    * `stat_loggers` - default `nil` (`list[StatLoggerFactory] or None`). Import paths
      (`"module:Class"`) of logger factories, which are added to vLLM's own
    * `enable_log_requests` - default `false` (`bool`). Whether requests are logged
    * `aggregate_engine_logging` - default `false` (`bool`). Whether the statistics of all
      engines are logged as one
    * `disable_log_stats` - default `false` (`bool`). Whether the engine logs no statistics
    * `client_addresses` - default `nil` (`dict[str, Any] or None`). Addresses of an engine that
      was launched elsewhere
    * `client_count` - default `1` (`int`). How many clients share the engine
    * `client_index` - default `0` (`int`). Which of these clients this is
    * `rpc: [timeout: ms]` - none by default: models take as long as they take

  ## Returns

  A reference to the engine, as of `from_engine_args/1`.

  ## Errors

    * `:invalid` - an argument has the wrong type
    * `:engine_error` - the engine did not start; the message is the cause from its log, whose
      last lines are in `details["log"]`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, config} = Vllm.AsyncEngineArgs.create_engine_config(model: "facebook/opt-125m")
      {:ok, engine} = Vllm.AsyncLLM.from_vllm_config(config, disable_log_stats: true)
  """
  @doc group: :lifecycle
  @spec from_vllm_config(Ref.t()) :: {:ok, engine()} | {:error, Error.t()}
  def from_vllm_config(vllm_config) do
    Call.invoke_class("AsyncLLM", "from_vllm_config", 1, [vllm_config])
  end

  @doc "See `from_vllm_config/1`."
  @doc group: :lifecycle
  @spec from_vllm_config(worker() | Ref.t(), Ref.t() | Call.args_or_opts()) ::
          {:ok, engine()} | {:error, Error.t()}
  def from_vllm_config(worker_or_vllm_config, vllm_config_or_opts) do
    Call.invoke_class("AsyncLLM", "from_vllm_config", 1, [
      worker_or_vllm_config,
      vllm_config_or_opts
    ])
  end

  @doc "See `from_vllm_config/1`."
  @doc group: :lifecycle
  @spec from_vllm_config(worker() | Ref.t(), Ref.t() | [term()], Call.args_or_opts() | keyword()) ::
          {:ok, engine()} | {:error, Error.t()}
  def from_vllm_config(worker_or_vllm_config, vllm_config_or_args, args_or_opts) do
    Call.invoke_class("AsyncLLM", "from_vllm_config", 1, [
      worker_or_vllm_config,
      vllm_config_or_args,
      args_or_opts
    ])
  end

  @doc "See `from_vllm_config/1`."
  @doc group: :lifecycle
  @spec from_vllm_config(worker(), Ref.t(), [term()], keyword()) ::
          {:ok, engine()} | {:error, Error.t()}
  def from_vllm_config(worker, vllm_config, args, opts) do
    Call.invoke_class("AsyncLLM", "from_vllm_config", 1, [worker, vllm_config, args, opts])
  end

  @doc """
  Create an AsyncLLM.

  This is Python's `AsyncLLM(…)` itself. `from_engine_args/1` and `from_vllm_config/1` choose
  the executor by themselves and are what one usually wants.

  ## Arguments

    * `worker` - the instance that runs it, or a reference of its worker. May be left out: then
      it is the default instance, which is started if need be
    * `vllm_config` - a reference to a `VllmConfig`; the engine is built where it lives
    * `executor_class` - `:auto` for the one that the configuration asks for, one of vLLM's
      names (`"uni"`, `"mp"`, `"ray"`, `"external_launcher"`), or the import path of a class,
      `"module:Class"`
    * `log_stats` - whether the engine logs its statistics

  ## Options

    * `usage_context` - default `:ENGINE_CONTEXT` (`UsageContext`). Usage context of the LLM.
    * `mm_registry` - default made by vLLM (`MultiModalRegistry(...)`) (`MultiModalRegistry`).
      VLLM's own; another cannot be sent
    * `log_requests` - default `true` (`bool`). Whether to log requests.
    * `start_engine_loop` - default `true` (`bool`). Whether to start the engine loop.
    * `stat_loggers` - default `nil` (`list[StatLoggerFactory] or None`). Import paths
      (`"module:Class"`) of logger factories, which are added to vLLM's own
    * `aggregate_engine_logging` - default `false` (`bool`). Whether to aggregate per-engine
      logs into a single stat logger.
    * `client_addresses` - default `nil` (`dict[str, Any] or None`). ZMQ addresses of an
      externally launched engine, when not launching one in-process.
    * `client_count` - default `1` (`int`). Number of API-server clients sharing the engine.
    * `client_index` - default `0` (`int`). Index of this client within `client_count`.
    * `profiler` - default `nil` (`TorchProfilerWrapper or None`). None; it cannot be sent: see
      `start_profile/1`
    * `use_cached_outputs` - a spelling of vLLM 0.14; ignored, with a warning in the worker's
      log
    * `rpc: [timeout: ms]` - none by default: models take as long as they take

  ## Returns

  A reference to the engine, as of `from_engine_args/1`.

  ## Errors

    * `:invalid` - an argument has the wrong type
    * `:engine_error` - the engine did not start; the message is the cause from its log, whose
      last lines are in `details["log"]`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, config} = Vllm.AsyncEngineArgs.create_engine_config(model: "facebook/opt-125m")
      {:ok, engine} = Vllm.AsyncLLM.new(config, :auto, true)
  """
  @doc group: :lifecycle
  @spec new(Ref.t(), String.t() | :auto, boolean()) :: {:ok, engine()} | {:error, Error.t()}
  def new(vllm_config, executor_class, log_stats) do
    Call.invoke_class("AsyncLLM", "new", 3, [vllm_config, executor_class, log_stats])
  end

  @doc "See `new/3`."
  @doc group: :lifecycle
  @spec new(
          worker() | Ref.t(),
          Ref.t() | String.t() | :auto,
          String.t() | :auto | boolean(),
          boolean() | Call.args_or_opts()
        ) :: {:ok, engine()} | {:error, Error.t()}
  def new(
        worker_or_vllm_config,
        vllm_config_or_executor_class,
        executor_class_or_log_stats,
        log_stats_or_opts
      ) do
    Call.invoke_class("AsyncLLM", "new", 3, [
      worker_or_vllm_config,
      vllm_config_or_executor_class,
      executor_class_or_log_stats,
      log_stats_or_opts
    ])
  end

  @doc "See `new/3`."
  @doc group: :lifecycle
  @spec new(
          worker() | Ref.t(),
          Ref.t() | String.t() | :auto,
          String.t() | :auto | boolean(),
          boolean() | [term()],
          Call.args_or_opts() | keyword()
        ) :: {:ok, engine()} | {:error, Error.t()}
  def new(
        worker_or_vllm_config,
        vllm_config_or_executor_class,
        executor_class_or_log_stats,
        log_stats_or_args,
        args_or_opts
      ) do
    Call.invoke_class("AsyncLLM", "new", 3, [
      worker_or_vllm_config,
      vllm_config_or_executor_class,
      executor_class_or_log_stats,
      log_stats_or_args,
      args_or_opts
    ])
  end

  @doc "See `new/3`."
  @doc group: :lifecycle
  @spec new(worker(), Ref.t(), String.t() | :auto, boolean(), [term()], keyword()) ::
          {:ok, engine()} | {:error, Error.t()}
  def new(worker, vllm_config, executor_class, log_stats, args, opts) do
    Call.invoke_class("AsyncLLM", "new", 3, [
      worker,
      vllm_config,
      executor_class,
      log_stats,
      args,
      opts
    ])
  end

  @doc """
  Shutdown, cleaning up the background proc and IPC.

  Requests in flight end with finish reason `"abort"`. The worker and its other engines go on.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `timeout` - default `nil` (`float or None`). Seconds to wait for requests in flight
    * `rpc: [timeout: ms]` - by default 600 s: it may wait for requests, see `timeout`

  ## Returns

  `nil`, also when the engine was shut down before.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
  """
  @doc group: :lifecycle
  @spec shutdown(engine(), Call.args_or_opts(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def shutdown(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "shutdown", [], args_or_opts, opts)
  end

  ## Generation

  @doc """
  Generate outputs for a request, as a stream.

  Main function called by the API server to kick off a request

  * 1) Making an AsyncStream corresponding to the Request.
  * 2) Processing the Input.
  * 3) Adding the Request to the Detokenizer.
  * 4) Adding the Request to the EngineCore (separate process).

  A separate output_handler loop runs in a background AsyncIO task, pulling outputs from
  EngineCore and putting them into the per-request AsyncStream.

  The caller of generate() iterates the returned AsyncGenerator, returning the RequestOutput
  back to the caller.

  Note: Passing a raw prompt string directly to this method is deprecated. Advanced
  power-users can manually bypass the raw-prompt fallback path using the Engine's underlying
  Renderer pipeline:

      >>> from vllm.inputs import parse_model_prompt
      >>> parsed = parse_model_prompt(self.model_config, "Prompt text")
      >>> params = self.renderer.default_cmpl_tok_params
      >>> (engine_input,) = self.renderer.render_cmpl([parsed], params)
      >>> gen = self.generate(engine_input, sampling_params, request_id)

  Returns as soon as the engine has accepted the request, before the first token.

  The prompt may also be a stream of inputs: an Elixir enumerable such as a function or a
  struct of `Stream`, or a list of `t:Vllm.StreamingInput.t/0`. Each of its items is a prompt
  or a `%Vllm.StreamingInput{}`; what the engine made of the ones before is kept. It does not
  go together with `n` above 1, stop strings or `output_kind: :FINAL_ONLY`. What is deprecated
  in Python, a prompt that is a string, stays the simplest way here.

  ## Arguments

    * `engine` - the engine
    * `prompt` - a string, `%{prompt_token_ids: [integer]}`, another prompt of vLLM's, with
      images, videos or audio in `multi_modal_data` (see the guide *Images, videos and audio*),
      or an enumerable of inputs
    * `sampling_params` - `t:Vllm.SamplingParams.t/0`, a keyword list or a map
    * `request_id` - a string that no other request in flight has

  ## Options

    * `prompt_text` - default `nil` (`str or None`). The text of a prompt that is given as
      something else
    * `lora_request` - default `nil` (`LoRARequest or None`). The adapter to use:
      `t:Vllm.LoRARequest.t/0`, a keyword list or a map
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Arguments of the
      tokenizer, such as `%{"truncate_prompt_tokens" => 20}`
    * `trace_headers` - default `nil` (`Mapping[str, str] or None`). Headers of the trace that
      the request belongs to
    * `priority` - default `0` (`int`). Lower comes first, where the engine has
      `scheduling_policy: "priority"`
    * `data_parallel_rank` - default `nil` (`int or None`). Which engine gets the request, of
      several with data parallelism
    * `session_id` - default `nil` (`str or None`). Requests of one session may be sent to the
      same engine
    * `kv_hints` - default `nil` (`KvHintsEnvelope or None`). An orchestrator's hints about the
      KV cache: `t:Vllm.KvHintsEnvelope.t/0`
    * `reasoning_ended` - default `nil` (`bool or None`). Whether the prompt already holds the
      end of the reasoning
    * `reasoning_parser_kwargs` - default `nil` (`dict[str, Any] or None`). Arguments of the
      reasoning parser
    * `rpc: [timeout: ms]` - none by default: its time is that of the request

  ## Returns

  A `Vllm.Stream` of `t:Vllm.RequestOutput.t/0`. By default every output holds all text so far
  (`CUMULATIVE`); `output_kind: :DELTA` and `:FINAL_ONLY` are as in vLLM.

  ## Errors

    * `:invalid` - an argument has the wrong type or is out of range; the engine never saw it
    * `:overloaded` - the engine's queue is full
    * `:conflict` - the engine's weights are being changed
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, stream} = Vllm.AsyncLLM.generate(engine, "Hello", [max_tokens: 16], "req-1")
      {:ok, output} = Vllm.Stream.collect(stream)
  """
  @doc group: :generation
  @spec generate(
          engine(),
          prompt(),
          Vllm.SamplingParams.t() | keyword() | map(),
          String.t(),
          keyword()
        ) :: {:ok, Stream.t()} | {:error, Error.t()}
  def generate(engine, prompt, sampling_params, request_id, opts \\ []) do
    Call.invoke(engine, "generate", [prompt, sampling_params, request_id], opts)
  end

  @doc """
  `generate/5` and `Vllm.Stream.collect/1` in one: waits for the end of the request and
  returns its last item. Takes the same arguments, but for `rpc: [stream_to: pid]`.

  ## Returns

  `t:Vllm.RequestOutput.t/0`.

  ## Errors

    * Those of `generate/5`, and whatever ends the stream early.

  ## Example

      {:ok, output} = Vllm.AsyncLLM.generate_collect(engine, prompt, sampling_params, request_id)
  """
  @doc group: :generation
  @spec generate_collect(
          engine(),
          prompt(),
          Vllm.SamplingParams.t() | keyword() | map(),
          String.t(),
          keyword()
        ) :: {:ok, Vllm.RequestOutput.t()} | {:error, Error.t()}
  def generate_collect(engine, prompt, sampling_params, request_id, opts \\ []) do
    Call.collect(engine, "generate", [prompt, sampling_params, request_id], opts)
  end

  @doc """
  Pool the hidden states of a request, as a stream of one output.

  Main function called by the API server to kick off a request

  * 1) Making an AsyncStream corresponding to the Request.
  * 2) Processing the Input.
  * 3) Adding the Request to the EngineCore (separate process).

  A separate output_handler loop runs in a background AsyncIO task, pulling outputs from
  EngineCore and putting them into the per-request AsyncStream.

  The caller of generate() iterates the returned AsyncGenerator, returning the RequestOutput
  back to the caller.

  ## Arguments

    * `engine` - the engine
    * `prompt` - a string, `%{prompt_token_ids: [integer]}` or another prompt of vLLM's
    * `pooling_params` - `t:Vllm.PoolingParams.t/0`, a keyword list or a map
    * `request_id` - a string that no other request in flight has

  ## Options

    * `lora_request` - default `nil` (`LoRARequest or None`). The adapter to use:
      `t:Vllm.LoRARequest.t/0`, a keyword list or a map
    * `trace_headers` - default `nil` (`Mapping[str, str] or None`). Headers of the trace that
      the request belongs to
    * `priority` - default `0` (`int`). Lower comes first, where the engine has
      `scheduling_policy: "priority"`
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Arguments of the
      tokenizer, such as `%{"truncate_prompt_tokens" => 20}`
    * `reasoning_ended` - default `nil` (`bool or None`). Whether the prompt already holds the
      end of the reasoning
    * `truncate_prompt_tokens` - a spelling of vLLM 0.14; becomes `tokenization_kwargs:
      %{"truncate_prompt_tokens" => …}`
    * `rpc: [timeout: ms]` - none by default: its time is that of the request

  ## Returns

  A `Vllm.Stream` of one `t:Vllm.PoolingRequestOutput.t/0`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or the model does not support pooling
    * `:overloaded` - the engine's queue is full
    * `:conflict` - the engine's weights are being changed
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, stream} = Vllm.AsyncLLM.encode(engine, "Hello", [task: "embed"], "req-1")
      {:ok, output} = Vllm.Stream.collect(stream)
  """
  @doc group: :generation
  @spec encode(
          engine(),
          prompt(),
          Vllm.PoolingParams.t() | keyword() | map(),
          String.t(),
          Call.args_or_opts(),
          keyword()
        ) :: {:ok, Stream.t()} | {:error, Error.t()}
  def encode(engine, prompt, pooling_params, request_id, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "encode", [prompt, pooling_params, request_id], args_or_opts, opts)
  end

  @doc """
  `encode/6` and `Vllm.Stream.collect/1` in one: waits for the end of the request and returns
  its last item. Takes the same arguments, but for `rpc: [stream_to: pid]`.

  ## Returns

  `t:Vllm.PoolingRequestOutput.t/0`.

  ## Errors

    * Those of `encode/6`, and whatever ends the stream early.

  ## Example

      {:ok, output} = Vllm.AsyncLLM.encode_collect(engine, prompt, pooling_params, request_id)
  """
  @doc group: :generation
  @spec encode_collect(
          engine(),
          prompt(),
          Vllm.PoolingParams.t() | keyword() | map(),
          String.t(),
          Call.args_or_opts(),
          keyword()
        ) :: {:ok, Vllm.PoolingRequestOutput.t()} | {:error, Error.t()}
  def encode_collect(engine, prompt, pooling_params, request_id, args_or_opts \\ [], opts \\ []) do
    Call.collect(engine, "encode", [prompt, pooling_params, request_id], args_or_opts, opts)
  end

  @doc """
  Add new request to the AsyncLLM.

  For those who take outputs one by one: `generate/5` does all of this and is what one usually
  wants.

  The prompt may also be a stream of inputs, as of `generate/5`.

  ## Arguments

    * `engine` - the engine
    * `request_id` - a string that no other request in flight has
    * `prompt` - a string, `%{prompt_token_ids: [integer]}`, another prompt of vLLM's, or an
      enumerable of inputs
    * `params` - `t:Vllm.SamplingParams.t/0` or `t:Vllm.PoolingParams.t/0`; a keyword list or a
      map is taken for the former

  ## Options

    * `arrival_time` - default `nil` (`float or None`). When the request arrived, in seconds
      since 1970; now by default
    * `lora_request` - default `nil` (`LoRARequest or None`). The adapter to use:
      `t:Vllm.LoRARequest.t/0`, a keyword list or a map
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] or None`). Arguments of the
      tokenizer, such as `%{"truncate_prompt_tokens" => 20}`
    * `trace_headers` - default `nil` (`Mapping[str, str] or None`). Headers of the trace that
      the request belongs to
    * `priority` - default `0` (`int`). Lower comes first, where the engine has
      `scheduling_policy: "priority"`
    * `data_parallel_rank` - default `nil` (`int or None`). Which engine gets the request, of
      several with data parallelism
    * `session_id` - default `nil` (`str or None`). Requests of one session may be sent to the
      same engine
    * `prompt_text` - default `nil` (`str or None`). The text of a prompt that is given as
      something else
    * `reasoning_ended` - default `nil` (`bool or None`). Whether the prompt already holds the
      end of the reasoning
    * `reasoning_parser_kwargs` - default `nil` (`dict[str, Any] or None`). Arguments of the
      reasoning parser
    * `kv_hints` - default `nil` (`KvHintsEnvelope or None`). An orchestrator's hints about the
      KV cache: `t:Vllm.KvHintsEnvelope.t/0`

  ## Returns

  A reference for `Vllm.RequestOutputCollector`, from which the outputs are taken. The request
  is aborted when the reference's owner ends or releases it.

  ## Errors

    * `:invalid` - an argument has the wrong type or is out of range; the engine never saw it
    * `:overloaded` - the engine's queue is full
    * `:conflict` - the engine's weights are being changed
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, collector} = Vllm.AsyncLLM.add_request(engine, "req-1", "Hello", max_tokens: 16)
      {:ok, output} = Vllm.RequestOutputCollector.get(collector)
  """
  @doc group: :generation
  @spec add_request(
          engine(),
          String.t(),
          prompt(),
          Vllm.SamplingParams.t() | keyword() | map() | Vllm.PoolingParams.t(),
          Call.args_or_opts(),
          keyword()
        ) :: {:ok, collector()} | {:error, Error.t()}
  def add_request(engine, request_id, prompt, params, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "add_request", [request_id, prompt, params], args_or_opts, opts)
  end

  @doc """
  Abort RequestId in OutputProcessor and EngineCore.

  The stream of an aborted request ends with finish reason `"abort"`.

  ## Arguments

    * `engine` - the engine
    * `request_id` - a string, or a list of them

  ## Options

    * `internal` - default `false` (`bool`). Whether the ids are vLLM's internal ones

  ## Returns

  `nil`, also for a request that is unknown or over.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      Vllm.AsyncLLM.abort(engine, ["req-1", "req-2"])
  """
  @doc group: :generation
  @spec abort(engine(), String.t() | [String.t()], Call.args_or_opts(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def abort(engine, request_id, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "abort", [request_id], args_or_opts, opts)
  end

  ## Control

  @doc """
  Pause generation to allow model weight updates.

  All mode handling (abort / wait / keep) and cache clearing is done in the engine. New
  generation/encoding requests will not be scheduled until resume is called.

  Requests that are sent meanwhile are accepted and wait. Pausing twice is harmless.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `mode` - default `"abort"` (`Literal['abort', 'wait', 'keep']`). How to handle in-flight
      requests:

      - `"abort"`: Abort all in-flight requests immediately (default).
      - `"wait"`: Wait for in-flight requests to complete.
      - `"keep"`: Freeze requests in queue; they resume on `resume_generation`.

    * `clear_cache` - default `true` (`bool`). Whether to clear KV cache and prefix cache after
      draining. Set to `False` to preserve cache for faster resume.
    * `wait_for_inflight_requests` - a spelling of vLLM 0.14; `true` is mode `"wait"` and
      `false` is `"abort"`; `:invalid` beside `mode`
    * `rpc: [timeout: ms]` - none with `mode: "wait"` or `wait_for_inflight_requests: true`:
      then its time is that of the requests in flight

  ## Returns

  `nil`, when the engine stands still.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.pause_generation(engine, mode: "wait")
      {:ok, nil} = Vllm.AsyncLLM.resume_generation(engine)
  """
  @doc group: :control
  @spec pause_generation(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def pause_generation(engine, opts \\ []) do
    Call.invoke(engine, "pause_generation", [], opts)
  end

  @doc """
  Resume generation after `pause_generation`.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil`, also when the engine was not paused.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.resume_generation(engine)
  """
  @doc group: :control
  @spec resume_generation(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def resume_generation(engine, opts \\ []) do
    Call.invoke(engine, "resume_generation", [], opts)
  end

  @doc """
  Return whether the engine is currently paused.

  ## Arguments

    * `engine` - the engine

  ## Returns

  Whether `pause_generation/2` holds the engine.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, false} = Vllm.AsyncLLM.is_paused(engine)
  """
  @doc group: :control
  @spec is_paused(engine(), keyword()) :: {:ok, boolean()} | {:error, Error.t()}
  def is_paused(engine, opts \\ []) do
    Call.invoke(engine, "is_paused", [], opts)
  end

  @doc """
  Sleep the engine.

  At level 1 weights go to CPU memory and the KV cache is dropped, at level 2 both are
  dropped, at level 0 only scheduling stops. Memory is freed where the engine has
  `enable_sleep_mode` and the platform can; otherwise, as on CPU, only scheduling stops.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `level` - default `1` (`int`). `0`, `1` or `2`
    * `mode` - default `"abort"` (`Literal['abort', 'wait', 'keep']`). What becomes of requests
      in flight, as of `pause_generation/2`
    * `rpc: [timeout: ms]` - none with `mode: "wait"`: then its time is that of the requests in
      flight

  ## Returns

  `nil`, when the engine sleeps.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.sleep(engine, level: 2)
      {:ok, nil} = Vllm.AsyncLLM.sleep(engine, [1, "wait"])
  """
  @doc group: :control
  @spec sleep(engine(), Call.args_or_opts(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def sleep(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "sleep", [], args_or_opts, opts)
  end

  @doc """
  Wake the tagged resources; return whether every engine is fully awake.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `tags` - default `nil` (`list[str] or None`). `"weights"`, `"kv_cache"`, `"scheduling"`;
      all of them by default

  ## Returns

  Whether the engine is fully awake: `false` while some tags still sleep.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, false} = Vllm.AsyncLLM.wake_up(engine, tags: ["weights"])
      {:ok, true} = Vllm.AsyncLLM.wake_up(engine)
  """
  @doc group: :control
  @spec wake_up(engine(), Call.args_or_opts(), keyword()) ::
          {:ok, boolean()} | {:error, Error.t()}
  def wake_up(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "wake_up", [], args_or_opts, opts)
  end

  @doc """
  Check whether the engine is sleeping.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A boolean, `true` also while the engine is only paused.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, false} = Vllm.AsyncLLM.is_sleeping(engine)
  """
  @doc group: :control
  @spec is_sleeping(engine(), keyword()) :: {:ok, boolean()} | {:error, Error.t()}
  def is_sleeping(engine, opts \\ []) do
    Call.invoke(engine, "is_sleeping", [], opts)
  end

  @doc """
  Wait for all requests to be drained.

  Of one engine without data parallelism vLLM returns at once, even with requests in flight.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `drain_timeout` - default `300` (`int`). Seconds
    * `rpc: [timeout: ms]` - none by default: it has one of its own, `drain_timeout`

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:timeout` - requests were still running after `drain_timeout`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.wait_for_requests_to_drain(engine)
  """
  @doc group: :control
  @spec wait_for_requests_to_drain(engine(), Call.args_or_opts(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def wait_for_requests_to_drain(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "wait_for_requests_to_drain", [], args_or_opts, opts)
  end

  @doc """
  Reject the request if it would exceed queue limits.

  Both limits return HTTP 503 (Service Unavailable) so that load balancers and client SDKs
  retry on a different instance.

  - `max_num_queued_reqs`: approximate global cap on the number of unfinished requests
    (waiting + running). A request with `n > 1` counts as `n` slots.
  - `max_num_queued_tokens`: TTFT QoS — cap on the total prompt tokens of requests still in
    prefill.

  Note: `get_num_queued_tokens` uses `prompt_len` for all prefilling requests. Chunked prefill
  progress and prefix-cache hits are not subtracted because the scheduler's
  `num_computed_tokens` and `num_cached_tokens` are only propagated to the API server after
  prefill completes. The overestimation is conservative — earlier rejection, preserving TTFT
  targets.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `n` - default `1` (`int`). Number of sequences the request will occupy
    * `request_id` - default `nil` (`str or None`). Used in the log only

  ## Returns

  `nil` when a request would be admitted.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:overloaded` - a queue's limit would be exceeded; worth another try later or elsewhere
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.check_admission(engine)
  """
  @doc group: :control
  @spec check_admission(engine(), Call.args_or_opts(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def check_admission(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "check_admission", [], args_or_opts, opts)
  end

  ## LoRA

  @doc """
  Load a new LoRA adapter into the engine for future requests.

  ## Arguments

    * `engine` - the engine
    * `lora_request` - `t:Vllm.LoRARequest.t/0`, a keyword list or a map

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: adapters may lie on slow disks

  ## Returns

  `true`, also when the adapter was loaded before. Of an adapter that is used in part only,
  the event `[:vllm, :engine, :adapter_partly_used]` says what was left out.

  ## Errors

    * `:invalid` - the adapter does not fit the engine, or the engine was built without
      `enable_lora`
    * `:not_found` - there is no adapter at that path
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      adapter = %Vllm.LoRARequest{lora_name: "sql", lora_int_id: 1, lora_path: "/adapters/sql"}
      {:ok, true} = Vllm.AsyncLLM.add_lora(engine, adapter)
  """
  @doc group: :lora
  @spec add_lora(engine(), Vllm.LoRARequest.t() | keyword() | map(), keyword()) ::
          {:ok, boolean()} | {:error, Error.t()}
  def add_lora(engine, lora_request, opts \\ []) do
    Call.invoke(engine, "add_lora", [lora_request], opts)
  end

  @doc """
  Remove an already loaded LoRA adapter.

  ## Arguments

    * `engine` - the engine
    * `lora_id` - the `lora_int_id` of the adapter

  ## Returns

  Whether there was an adapter of that id.

  ## Errors

    * `:invalid` - the engine was built without `enable_lora`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, true} = Vllm.AsyncLLM.remove_lora(engine, 1)
  """
  @doc group: :lora
  @spec remove_lora(engine(), integer(), keyword()) :: {:ok, boolean()} | {:error, Error.t()}
  def remove_lora(engine, lora_id, opts \\ []) do
    Call.invoke(engine, "remove_lora", [lora_id], opts)
  end

  @doc """
  List all registered adapters.

  ## Arguments

    * `engine` - the engine

  ## Returns

  The ids of the adapters, as a `MapSet` of integers.

  ## Errors

    * `:invalid` - the engine was built without `enable_lora`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, ids} = Vllm.AsyncLLM.list_loras(engine)
  """
  @doc group: :lora
  @spec list_loras(engine(), keyword()) :: {:ok, MapSet.t(integer())} | {:error, Error.t()}
  def list_loras(engine, opts \\ []) do
    Call.invoke(engine, "list_loras", [], opts)
  end

  @doc """
  Prevent an adapter from being evicted.

  ## Arguments

    * `engine` - the engine
    * `lora_id` - the `lora_int_id` of the adapter

  ## Returns

  `true`.

  ## Errors

    * `:invalid` - the engine was built without `enable_lora`
    * `:not_found` - there is no adapter of that id
    * `:overloaded` - it would leave too few slots to the requests that are running
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, true} = Vllm.AsyncLLM.pin_lora(engine, 1)
  """
  @doc group: :lora
  @spec pin_lora(engine(), integer(), keyword()) :: {:ok, boolean()} | {:error, Error.t()}
  def pin_lora(engine, lora_id, opts \\ []) do
    Call.invoke(engine, "pin_lora", [lora_id], opts)
  end

  ## Cache

  @doc """
  Reset the prefix cache and optionally any configured connector cache.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `reset_running_requests` - default `false` (`bool`). Whether requests in flight give up
      their blocks; they start anew by themselves
    * `reset_connector` - default `false` (`bool`). Whether a KV connector's cache is reset too

  ## Returns

  Whether it was reset: `false` while requests are in flight.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, true} = Vllm.AsyncLLM.reset_prefix_cache(engine, reset_running_requests: true)
  """
  @doc group: :cache
  @spec reset_prefix_cache(engine(), Call.args_or_opts(), keyword()) ::
          {:ok, boolean()} | {:error, Error.t()}
  def reset_prefix_cache(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "reset_prefix_cache", [], args_or_opts, opts)
  end

  @doc """
  Reset the multi-modal cache.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.reset_mm_cache(engine)
  """
  @doc group: :cache
  @spec reset_mm_cache(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def reset_mm_cache(engine, opts \\ []) do
    Call.invoke(engine, "reset_mm_cache", [], opts)
  end

  @doc """
  Reset the encoder cache.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.reset_encoder_cache(engine)
  """
  @doc group: :cache
  @spec reset_encoder_cache(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def reset_encoder_cache(engine, opts \\ []) do
    Call.invoke(engine, "reset_encoder_cache", [], opts)
  end

  @doc """
  Discard KV cache physical GPU memory. Requires a completed pause.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil`.

  ## Errors

    * `:engine_error` - the engine is not paused, or its platform cannot: there is no such
      memory on CPU
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.release_kv_cache_memory(engine)
  """
  @doc group: :cache
  @spec release_kv_cache_memory(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def release_kv_cache_memory(engine, opts \\ []) do
    Call.invoke(engine, "release_kv_cache_memory", [], opts)
  end

  ## Introspection

  @doc """
  Raise if unhealthy.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil` when the engine is healthy.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.check_health(engine)
  """
  @doc group: :introspection
  @spec check_health(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def check_health(engine, opts \\ []) do
    Call.invoke(engine, "check_health", [], opts)
  end

  @doc """
  Whether the engine runs: it has not been shut down and has not died.

  vLLM looks at the task that handles outputs: of an engine that was shut down before its
  first request it stays `true`. `errored/1` is not mistaken.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A boolean.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, true} = Vllm.AsyncLLM.is_running(engine)
  """
  @doc group: :introspection
  @spec is_running(engine()) :: {:ok, boolean()} | {:error, Error.t()}
  def is_running(engine) do
    Call.invoke(engine, "is_running")
  end

  @doc """
  Whether the engine has died, or has been shut down.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A boolean.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, false} = Vllm.AsyncLLM.is_stopped(engine)
  """
  @doc group: :introspection
  @spec is_stopped(engine()) :: {:ok, boolean()} | {:error, Error.t()}
  def is_stopped(engine) do
    Call.invoke(engine, "is_stopped")
  end

  @doc """
  Whether the engine has died, or has been shut down.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A boolean.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, false} = Vllm.AsyncLLM.errored(engine)
  """
  @doc group: :introspection
  @spec errored(engine()) :: {:ok, boolean()} | {:error, Error.t()}
  def errored(engine) do
    Call.invoke(engine, "errored")
  end

  @doc """
  The error that calls of a dead engine end with.

  vLLM makes it anew each time, and of a healthy engine too: ask `errored/1` whether it is
  dead.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A `Vllm.Error` of the kind `:engine_dead`, as data: `{:ok, %Vllm.Error{}}`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, %Vllm.Error{kind: :engine_dead}} = Vllm.AsyncLLM.dead_error(engine)
  """
  @doc group: :introspection
  @spec dead_error(engine()) :: {:ok, Error.t()} | {:error, Error.t()}
  def dead_error(engine) do
    Call.invoke(engine, "dead_error")
  end

  @doc """
  Get supported tasks.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A tuple of strings.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, {"generate"}} = Vllm.AsyncLLM.get_supported_tasks(engine)
  """
  @doc group: :introspection
  @spec get_supported_tasks(engine(), keyword()) :: {:ok, tuple()} | {:error, Error.t()}
  def get_supported_tasks(engine, opts \\ []) do
    Call.invoke(engine, "get_supported_tasks", [], opts)
  end

  @doc """
  The tokenizer of the engine.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A reference for `Vllm.call/4`, released with the calling process; `nil` when the engine was
  built with `skip_tokenizer_init`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, tokenizer} = Vllm.AsyncLLM.tokenizer(engine)
      {:ok, text} = Vllm.call(tokenizer, "decode", [[72, 105]])
  """
  @doc group: :introspection
  @spec tokenizer(engine()) :: {:ok, Ref.t() | nil} | {:error, Error.t()}
  def tokenizer(engine) do
    Call.invoke(engine, "tokenizer")
  end

  @doc """
  Get the tokenizer of the engine.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A reference for `Vllm.call/4`. It is released with the calling process.

  ## Errors

    * `:invalid` - the engine was built with `skip_tokenizer_init`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, tokenizer} = Vllm.AsyncLLM.get_tokenizer(engine)
      {:ok, ids} = Vllm.call(tokenizer, "encode", ["Hello"])
  """
  @doc group: :introspection
  @spec get_tokenizer(engine(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def get_tokenizer(engine, opts \\ []) do
    Call.invoke(engine, "get_tokenizer", [], opts)
  end

  @doc """
  Whether the engine sends traces (`otlp_traces_endpoint`).

  ## Arguments

    * `engine` - the engine

  ## Returns

  A boolean.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, false} = Vllm.AsyncLLM.is_tracing_enabled(engine)
  """
  @doc group: :introspection
  @spec is_tracing_enabled(engine(), keyword()) :: {:ok, boolean()} | {:error, Error.t()}
  def is_tracing_enabled(engine, opts \\ []) do
    Call.invoke(engine, "is_tracing_enabled", [], opts)
  end

  @doc """
  Log the engine's statistics now, in the worker's log, if it has loggers.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.do_log_stats(engine)
  """
  @doc group: :introspection
  @spec do_log_stats(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def do_log_stats(engine, opts \\ []) do
    Call.invoke(engine, "do_log_stats", [], opts)
  end

  @doc """
  How many requests are in flight, waiting or running.

  After the engine's death vLLM still counts those it had.

  ## Arguments

    * `engine` - the engine

  ## Returns

  An integer.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, 0} = Vllm.AsyncLLM.get_num_unfinished_requests(engine)
  """
  @doc group: :introspection
  @spec get_num_unfinished_requests(engine(), keyword()) :: {:ok, integer()} | {:error, Error.t()}
  def get_num_unfinished_requests(engine, opts \\ []) do
    Call.invoke(engine, "get_num_unfinished_requests", [], opts)
  end

  @doc """
  How many prompt tokens the requests have that got no token yet.

  ## Arguments

    * `engine` - the engine

  ## Returns

  An integer.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, 0} = Vllm.AsyncLLM.get_num_queued_tokens(engine)
  """
  @doc group: :introspection
  @spec get_num_queued_tokens(engine(), keyword()) :: {:ok, integer()} | {:error, Error.t()}
  def get_num_queued_tokens(engine, opts \\ []) do
    Call.invoke(engine, "get_num_queued_tokens", [], opts)
  end

  @doc """
  Get fault tolerance status of all engines.

  It says nothing of the engine's health: it answers the same after its death.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A map with string keys: `"schema_version"`, `"total_engines"` and `"engines"`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, %{"total_engines" => 1}} = Vllm.AsyncLLM.get_status(engine)
  """
  @doc group: :introspection
  @spec get_status(engine(), keyword()) ::
          {:ok, %{optional(String.t()) => term()}} | {:error, Error.t()}
  def get_status(engine, opts \\ []) do
    Call.invoke(engine, "get_status", [], opts)
  end

  @doc """
  KV-event publisher config of each engine, keyed by DP rank.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A map from the rank to its `KVEventsConfig`; empty without a `kv_events_config`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, sources} = Vllm.AsyncLLM.get_kv_event_sources(engine)
  """
  @doc group: :introspection
  @spec get_kv_event_sources(engine(), keyword()) ::
          {:ok, %{optional(integer()) => term()}} | {:error, Error.t()}
  def get_kv_event_sources(engine, opts \\ []) do
    Call.invoke(engine, "get_kv_event_sources", [], opts)
  end

  @doc """
  The configuration that the engine was built with.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A reference to a copy, for `Vllm.call/4`: `Vllm.call(config, "model_config")`. Changing it
  changes nothing in the engine.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, config} = Vllm.AsyncLLM.vllm_config(engine)
  """
  @doc group: :introspection
  @spec vllm_config(engine()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def vllm_config(engine) do
    Call.invoke(engine, "vllm_config")
  end

  ## Profiling

  @doc """
  Start profiling with optional per-session overrides.

  The engine must be built with `profiler_config: %{"profiler" => "torch",
  "torch_profiler_dir" => "/an/absolute/path"}`.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `profile_prefix` - default `nil` (`str or None`). How the names of the trace files begin
    * `delay_iterations` - default `nil` (`int or None`). Engine steps to let pass first
    * `max_iterations` - default `nil` (`int or None`). Engine steps to record

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:conflict` - a profile is already being taken
    * `:engine_error` - the engine was built without a profiler
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.start_profile(engine, profile_prefix: "run-1")
  """
  @doc group: :profiling
  @spec start_profile(engine(), Call.args_or_opts(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def start_profile(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "start_profile", [], args_or_opts, opts)
  end

  @doc """
  Stop profiling the engine.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: writing the traces takes minutes with large
      models

  ## Returns

  `nil`, when the traces are written; also when none was being taken.

  ## Errors

    * `:engine_error` - the engine was built without a profiler
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.stop_profile(engine)
  """
  @doc group: :profiling
  @spec stop_profile(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def stop_profile(engine, opts \\ []) do
    Call.invoke(engine, "stop_profile", [], opts)
  end

  ## Weights

  @doc """
  Return the latest committed weight version.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A string; `"default"` before any was set. Outputs carry it in `weight_versions`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, "default"} = Vllm.AsyncLLM.get_weight_version(engine)
  """
  @doc group: :weights
  @spec get_weight_version(engine(), keyword()) :: {:ok, String.t()} | {:error, Error.t()}
  def get_weight_version(engine, opts \\ []) do
    Call.invoke(engine, "get_weight_version", [], opts)
  end

  @doc """
  Set the weight version without updating weights.

  ## Arguments

    * `engine` - the engine
    * `new_version` - a string

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.update_weight_version(engine, "step-100")
  """
  @doc group: :weights
  @spec update_weight_version(engine(), String.t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def update_weight_version(engine, new_version, opts \\ []) do
    Call.invoke(engine, "update_weight_version", [new_version], opts)
  end

  @doc """
  Return rank-qualified weight digests from every worker of every engine.

  On CPU, vLLM's packed linear weights all have the digest of no bytes.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: all weights are read

  ## Returns

  A list of maps, one for each engine, from the name of a weight to its SHA-256.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, [digests]} = Vllm.AsyncLLM.compute_weight_checksums(engine)
  """
  @doc group: :weights
  @spec compute_weight_checksums(engine(), keyword()) ::
          {:ok, [%{optional(String.t()) => String.t()}]} | {:error, Error.t()}
  def compute_weight_checksums(engine, opts \\ []) do
    Call.invoke(engine, "compute_weight_checksums", [], opts)
  end

  @doc """
  Initialize weight transfer for RL training.

  ## Arguments

    * `engine` - the engine
    * `request` - `t:Vllm.WeightTransferInitRequest.t/0`, a keyword list or a map

  ## Options

    * `rpc: [timeout: ms]` - none by default: it waits for the trainer to connect

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:engine_error` - the engine was built without a `weight_transfer_config`, or its backend
      cannot start
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.init_weight_transfer_engine(engine, init_info: %{})
  """
  @doc group: :weights
  @spec init_weight_transfer_engine(
          engine(),
          Vllm.WeightTransferInitRequest.t() | keyword() | map(),
          keyword()
        ) :: {:ok, nil} | {:error, Error.t()}
  def init_weight_transfer_engine(engine, request, opts \\ []) do
    Call.invoke(engine, "init_weight_transfer_engine", [request], opts)
  end

  @doc """
  Start a new weight update.

  Until `finish_weight_update/1` the engine has no weights to compute with: requests are
  refused as `:conflict`, and none may be running. `pause_generation/2` with mode `"keep"`
  holds those that are.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: all weights are touched

  ## Returns

  `nil`.

  ## Errors

    * `:conflict` - requests are running, or an update is open
    * `:engine_error` - the engine was built without a `weight_transfer_config`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.start_weight_update(engine)
  """
  @doc group: :weights
  @spec start_weight_update(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def start_weight_update(engine, opts \\ []) do
    Call.invoke(engine, "start_weight_update", [], opts)
  end

  @doc """
  Start a new weight update targeting the speculative draft model.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: all weights are touched

  ## Returns

  `nil`.

  ## Errors

    * `:conflict` - requests are running, or an update is open
    * `:engine_error` - the engine was built without a `weight_transfer_config`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.start_draft_weight_update(engine)
  """
  @doc group: :weights
  @spec start_draft_weight_update(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def start_draft_weight_update(engine, opts \\ []) do
    Call.invoke(engine, "start_draft_weight_update", [], opts)
  end

  @doc """
  Batched weight update for RL training.

  ## Arguments

    * `engine` - the engine
    * `request` - `t:Vllm.WeightTransferUpdateRequest.t/0`, a keyword list or a map

  ## Options

    * `rpc: [timeout: ms]` - none by default: it waits for the trainer to send

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:engine_error` - no update was started, or the engine was built without a
      `weight_transfer_config`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.update_weights(engine, update_info: %{})
  """
  @doc group: :weights
  @spec update_weights(
          engine(),
          Vllm.WeightTransferUpdateRequest.t() | keyword() | map(),
          keyword()
        ) :: {:ok, nil} | {:error, Error.t()}
  def update_weights(engine, request, opts \\ []) do
    Call.invoke(engine, "update_weights", [request], opts)
  end

  @doc """
  Finish the weight update and set its version if provided.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `weight_version` - default `nil` (`str or None`). A label for the new weights
    * `rpc: [timeout: ms]` - by default 600 s: all weights are touched

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:engine_error` - no update was started, or the engine was built without a
      `weight_transfer_config`
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.finish_weight_update(engine)
  """
  @doc group: :weights
  @spec finish_weight_update(engine(), Call.args_or_opts(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def finish_weight_update(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "finish_weight_update", [], args_or_opts, opts)
  end

  @doc """
  Release the trainer connection without shutting down inference.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.shutdown_weight_transfer_engine(engine)
  """
  @doc group: :weights
  @spec shutdown_weight_transfer_engine(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def shutdown_weight_transfer_engine(engine, opts \\ []) do
    Call.invoke(engine, "shutdown_weight_transfer_engine", [], opts)
  end

  @doc """
  Prepare the engine for a checkpoint of its processes.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: the weights may have to move

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.checkpoint_prepare(engine)
  """
  @doc group: :weights
  @spec checkpoint_prepare(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def checkpoint_prepare(engine, opts \\ []) do
    Call.invoke(engine, "checkpoint_prepare", [], opts)
  end

  @doc """
  Bring the engine back after a checkpoint of its processes.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `rpc: [timeout: ms]` - by default 600 s: the weights may have to move

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.checkpoint_restore(engine)
  """
  @doc group: :weights
  @spec checkpoint_restore(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def checkpoint_restore(engine, opts \\ []) do
    Call.invoke(engine, "checkpoint_restore", [], opts)
  end

  ## Distributed

  @doc """
  Perform a collective RPC call to the given path.

  Runs a method in every worker of the engine. The bridge passes on methods whose result can
  be sent and that leave the engine usable, and the public methods of the class that the
  engine was given as `worker_extension_cls`; others are refused.

  ## Arguments

    * `engine` - the engine
    * `method` - name of a method of the workers

  ## Options

    * `timeout` - default `nil` (`float or None`). Seconds; then the call fails with `:timeout`,
      and the workers go on
    * `args` - default `[]` (`tuple`). Positional arguments of the method, as a list or a tuple
    * `kwargs` - default `nil` (`dict or None`). Named arguments of the method, as a map
    * `rpc: [timeout: ms]` - by default 600 s: methods such as `reload_weights` read all weights

  ## Returns

  A list with one result for each worker.

  ## Errors

    * `:invalid` - the method is not one that the bridge passes on, or an argument has the wrong
      type
    * `:engine_error` - the method raised; the message is the worker's
    * `:conflict` - the weights are being changed, or the method would change them under
      requests
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, [nil]} =
        Vllm.AsyncLLM.collective_rpc(engine, "reload_weights", kwargs: %{"weights_path" => "/models/new"})
  """
  @doc group: :distributed
  @spec collective_rpc(engine(), String.t(), Call.args_or_opts(), keyword()) ::
          {:ok, [term()]} | {:error, Error.t()}
  def collective_rpc(engine, method, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "collective_rpc", [method], args_or_opts, opts)
  end

  @doc """
  Scale the elastic EP data parallel size.

  Needs an engine with data parallelism on Ray. Asking for the present size does nothing.

  ## Arguments

    * `engine` - the engine
    * `new_data_parallel_size` - how many engines there shall be

  ## Options

    * `drain_timeout` - default `300` (`int`). Seconds to wait for requests in flight
    * `rpc: [timeout: ms]` - none by default: engines are started or stopped

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * `:unsupported` - the engine has no data parallelism, or not on Ray
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.scale_elastic_ep(engine, 4)
  """
  @doc group: :distributed
  @spec scale_elastic_ep(engine(), integer(), Call.args_or_opts(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def scale_elastic_ep(engine, new_data_parallel_size, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "scale_elastic_ep", [new_data_parallel_size], args_or_opts, opts)
  end

  @doc """
  Submit a pre-aborted request so the connector's request_finished hook runs to free any
  pre-admission KV-transfer resources (e.g. NIXL prefill blocks pinned on the P node).

  ## Arguments

    * `engine` - the engine
    * `request_id` - a string
    * `kv_transfer_params` - a map, as the connector gave it

  ## Options

    * `data_parallel_rank` - default `nil` (`int or None`). Which engine gets the request, of
      several with data parallelism

  ## Returns

  `nil`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or is unknown
    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.notify_kv_transfer_request_rejected(engine, "req-1", %{})
  """
  @doc group: :distributed
  @spec notify_kv_transfer_request_rejected(
          engine(),
          String.t(),
          %{optional(String.t()) => term()},
          keyword()
        ) :: {:ok, nil} | {:error, Error.t()}
  def notify_kv_transfer_request_rejected(engine, request_id, kv_transfer_params, opts \\ []) do
    Call.invoke(
      engine,
      "notify_kv_transfer_request_rejected",
      [request_id, kv_transfer_params],
      opts
    )
  end

  @doc """
  Send fault tolerance instruction to the engine.

  The bridge answers `:unsupported`: an engine without fault tolerance, and vLLM refuses to
  build one with it but for external load balancing, never answers and takes no more requests.

  ## Arguments

    * `engine` - the engine
    * `fault_tolerance_request` - `t:Vllm.FaultToleranceRequest.t/0`, a keyword list or a map

  ## Returns

  Nothing.

  ## Errors

    * `:unsupported` - always

  ## Example

      {:error, %Vllm.Error{kind: :unsupported}} =
        Vllm.AsyncLLM.handle_fault(engine, instruction: "pause", params: %{})
  """
  @doc group: :distributed
  @spec handle_fault(engine(), Vllm.FaultToleranceRequest.t() | keyword() | map(), keyword()) ::
          {:error, Error.t()}
  def handle_fault(engine, fault_tolerance_request, opts \\ []) do
    Call.invoke(engine, "handle_fault", [fault_tolerance_request], opts)
  end

  ## Internal

  @doc """
  Internal: register a request that has been processed, and send it to the engine.

  The bridge answers `:unsupported`: it would take a request past vLLM's own validation. Use
  `add_request/4`.

  ## Arguments

    * `engine` - the engine
    * `request` - vLLM's `EngineCoreRequest`
    * `prompt` - the text of the prompt
    * `parent_req` - vLLM's `ParentRequest`, where `n` is above 1
    * `index` - the index within the parent
    * `queue` - vLLM's `RequestOutputCollector`

  ## Returns

  Nothing.

  ## Errors

    * `:unsupported` - always

  ## Example

      {:error, %Vllm.Error{kind: :unsupported}} =
        Vllm.AsyncLLM._add_request(engine, request, prompt, nil, 0, queue)
  """
  @doc group: :internal
  @spec _add_request(engine(), term(), String.t() | nil, term(), integer(), term(), keyword()) ::
          {:error, Error.t()}
  def _add_request(engine, request, prompt, parent_req, index, queue, opts \\ []) do
    Call.invoke(engine, "_add_request", [request, prompt, parent_req, index, queue], opts)
  end

  @doc """
  Background loop: pulls from EngineCore and pushes to AsyncStreams.

  Internal: the engine does it by itself with its first request. Doing it twice is harmless.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil`.

  ## Errors

    * those of every call, see `Vllm.AsyncLLM`

  ## Example

      {:ok, nil} = Vllm.AsyncLLM._run_output_handler(engine)
  """
  @doc group: :internal
  @spec _run_output_handler(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def _run_output_handler(engine, opts \\ []) do
    Call.invoke(engine, "_run_output_handler", [], opts)
  end
end
