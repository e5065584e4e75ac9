defmodule Vllm.AsyncLLM do
  @moduledoc """
  vLLM's asynchronous engine.

  The functions have the names, the order of arguments and the arities of Python's `AsyncLLM`, and
  are documented with its words: a search for the Python name finds the function here. What
  Python requires is positional; the rest may follow as a list, by name, or both. Parameters that
  are classes in Python are taken as a struct, a keyword list or a map.

  Every function returns `{:ok, value}` or `{:error, %Vllm.Error{}}`, and accepts the options of
  the bridge under `rpc:`, see `Vllm.Call`.
  """

  alias Vllm.{Call, Error, Ref, Stream}

  @typedoc "An engine, as returned by `from_engine_args/1`."
  @type engine :: Ref.t()

  @typedoc "The name of an instance, or any reference whose worker is meant."
  @type worker :: Vllm.instance() | Ref.t()

  @typedoc "A parameter that is a class in Python."
  @type params :: struct() | keyword() | map()

  ## Lifecycle

  @doc """
  Create an AsyncLLM from the EngineArgs.

  Building takes half a minute or more: the model is loaded and warmed up. Other calls, also to
  other engines of the same worker, go on meanwhile.

  ## Arguments

    * `worker` - the instance that builds the engine, or a reference of its worker. May be left
      out: then it is the default instance, which is started if need be
    * `engine_args` - `t:Vllm.AsyncEngineArgs.t/0`, a keyword list or a map

  ## Options

    * `start_engine_loop` - default `true` (`bool`)
    * `usage_context` - default `ENGINE_CONTEXT` (`UsageContext`)
    * `stat_loggers` - default `nil` (`list[StatLoggerFactory] | None`)

  ## Returns

  A reference to the engine. It lives until `shutdown/1`; with `rpc: [link: true]` it is shut down
  when the calling process ends.

  ## Errors

    * `:invalid` - an unknown engine argument, or a value of the wrong type
    * `:engine_error` - vLLM's engine did not start; the message is the cause from its log, whose
      last lines are in `details["log"]`
    * `:python` - any other failure on the way, such as a model that is not found

  ## Example

      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(model: "facebook/opt-125m")
      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(MyApp.Vllm, %{model: "facebook/opt-125m"})
  """
  @doc group: :lifecycle
  @spec from_engine_args(params()) :: {:ok, engine()} | {:error, Error.t()}
  def from_engine_args(engine_args) do
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, [engine_args])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(worker() | params(), params() | Call.args_or_opts()) ::
          {:ok, engine()} | {:error, Error.t()}
  def from_engine_args(worker_or_engine_args, engine_args_or_opts) do
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, [
      worker_or_engine_args,
      engine_args_or_opts
    ])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(worker() | params(), params() | [term()], Call.args_or_opts()) ::
          {:ok, engine()} | {:error, Error.t()}
  def from_engine_args(worker_or_engine_args, engine_args_or_args, args_or_opts) do
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, [
      worker_or_engine_args,
      engine_args_or_args,
      args_or_opts
    ])
  end

  @doc "See `from_engine_args/1`."
  @doc group: :lifecycle
  @spec from_engine_args(worker(), params(), [term()], keyword()) ::
          {:ok, engine()} | {:error, Error.t()}
  def from_engine_args(worker, engine_args, args, opts) do
    Call.invoke_class("AsyncLLM", "from_engine_args", 1, [worker, engine_args, args, opts])
  end

  @doc """
  Shutdown, cleaning up the background proc and IPC.

  Requests in flight end with finish reason `"abort"`. The worker and its other engines go on.

  ## Arguments

    * `engine` - the engine

  ## Options

    * `timeout` - default `nil` (`float | None`), seconds to wait for requests in flight

  ## Returns

  `nil`, also when the engine was shut down before.

  ## Errors

    * `:stale_ref` - the engine belongs to an earlier worker

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
  """
  @doc group: :lifecycle
  @spec shutdown(engine(), Call.args_or_opts(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def shutdown(engine, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "shutdown", [], args_or_opts, opts)
  end

  @doc """
  Raise if the engine is not healthy.

  ## Arguments

    * `engine` - the engine

  ## Returns

  `nil` when the engine is healthy.

  ## Errors

    * `:engine_dead` - the engine is dead

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.check_health(engine)
  """
  @doc group: :lifecycle
  @spec check_health(engine(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def check_health(engine, opts \\ []) do
    Call.invoke(engine, "check_health", [], opts)
  end

  @doc """
  Whether the engine runs: it has not been shut down and has not died.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A boolean.

  ## Errors

    * `:stale_ref` - the engine belongs to an earlier worker

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

    * `:stale_ref` - the engine belongs to an earlier worker

  ## Example

      {:ok, false} = Vllm.AsyncLLM.errored(engine)
  """
  @doc group: :introspection
  @spec errored(engine()) :: {:ok, boolean()} | {:error, Error.t()}
  def errored(engine) do
    Call.invoke(engine, "errored")
  end

  @doc """
  Get the tokenizer of the engine.

  ## Arguments

    * `engine` - the engine

  ## Returns

  A reference to the tokenizer, for `Vllm.call/4`. It is released with the calling process.

  ## Errors

    * `:invalid` - the engine was built with `skip_tokenizer_init`

  ## Example

      {:ok, tokenizer} = Vllm.AsyncLLM.get_tokenizer(engine)
      {:ok, ids} = Vllm.call(tokenizer, "encode", ["Hello"])
  """
  @doc group: :introspection
  @spec get_tokenizer(engine(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def get_tokenizer(engine, opts \\ []) do
    Call.invoke(engine, "get_tokenizer", [], opts)
  end

  ## Generation

  @doc """
  Generate outputs for a request, as a stream.

  Returns as soon as the engine has accepted the request, before the first token.

  ## Arguments

    * `engine` - the engine
    * `prompt` - a string, `%{prompt_token_ids: [integer]}` or another prompt of vLLM's
    * `sampling_params` - `t:Vllm.SamplingParams.t/0`, a keyword list or a map
    * `request_id` - a string that no other request in flight has

  ## Options

    * `lora_request` - default `nil` (`LoRARequest | None`)
    * `priority` - default `0` (`int`)
    * `data_parallel_rank` - default `nil` (`int | None`)
    * `trace_headers` - default `nil` (`Mapping[str, str] | None`)
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] | None`)
    * `prompt_text` - default `nil` (`str | None`)
    * `session_id` - default `nil` (`str | None`)
    * `kv_hints` - default `nil` (`KvHintsEnvelope | None`)
    * `reasoning_ended` - default `nil` (`bool | None`)
    * `reasoning_parser_kwargs` - default `nil` (`dict[str, Any] | None`)

  ## Returns

  A `Vllm.Stream` of `t:Vllm.RequestOutput.t/0`. By default every output holds all text so far
  (`CUMULATIVE`); `output_kind: :DELTA` and `:FINAL_ONLY` are as in vLLM.

  ## Errors

    * `:invalid` - an argument has the wrong type or is out of range; the engine never saw it
    * `:overloaded` - the engine's queue is full
    * `:engine_dead` - the engine is dead

  ## Example

      {:ok, stream} = Vllm.AsyncLLM.generate(engine, "Hello", [max_tokens: 16], "req-1")
      {:ok, output} = Vllm.Stream.collect(stream)
  """
  @doc group: :generation
  @spec generate(engine(), term(), params(), String.t(), Call.args_or_opts()) ::
          {:ok, Stream.t()} | {:error, Error.t()}
  def generate(engine, prompt, sampling_params, request_id, opts \\ []) do
    Call.invoke(engine, "generate", [prompt, sampling_params, request_id], opts)
  end

  @doc """
  Pool the hidden states of a request, as a stream of one output.

  ## Arguments

    * `engine` - an engine whose model supports pooling
    * `prompt` - a string, `%{prompt_token_ids: [integer]}` or another prompt of vLLM's
    * `pooling_params` - `t:Vllm.PoolingParams.t/0`, a keyword list or a map
    * `request_id` - a string that no other request in flight has

  ## Options

    * `lora_request` - default `nil` (`LoRARequest | None`)
    * `trace_headers` - default `nil` (`Mapping[str, str] | None`)
    * `priority` - default `0` (`int`)
    * `tokenization_kwargs` - default `nil` (`dict[str, Any] | None`)
    * `reasoning_ended` - default `nil` (`bool | None`)

  ## Returns

  A `Vllm.Stream` of `t:Vllm.PoolingRequestOutput.t/0`.

  ## Errors

    * `:invalid` - an argument has the wrong type, or the model does not support pooling
    * `:engine_dead` - the engine is dead

  ## Example

      {:ok, stream} = Vllm.AsyncLLM.encode(engine, "Hello", [task: "embed"], "req-1")
      {:ok, output} = Vllm.Stream.collect(stream)
  """
  @doc group: :generation
  @spec encode(engine(), term(), params(), String.t(), Call.args_or_opts(), keyword()) ::
          {:ok, Stream.t()} | {:error, Error.t()}
  def encode(engine, prompt, pooling_params, request_id, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "encode", [prompt, pooling_params, request_id], args_or_opts, opts)
  end

  @doc """
  Abort a request. Its stream ends with finish reason `"abort"`.

  ## Arguments

    * `engine` - the engine
    * `request_id` - a string, or a list of them

  ## Options

    * `internal` - default `false` (`bool`), whether the ids are vLLM's internal ones

  ## Returns

  `nil`, also for a request that is unknown or over.

  ## Errors

    * `:stale_ref` - the engine belongs to an earlier worker

  ## Example

      {:ok, nil} = Vllm.AsyncLLM.abort(engine, "req-1")
  """
  @doc group: :generation
  @spec abort(engine(), String.t() | [String.t()], Call.args_or_opts(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def abort(engine, request_id, args_or_opts \\ [], opts \\ []) do
    Call.invoke(engine, "abort", [request_id], args_or_opts, opts)
  end
end
