defmodule Vllm do
  @readme Path.expand("../../README.md", __DIR__)

  # The part of the README between the markers is this module's documentation too.
  readme =
    with {:ok, text} <- File.read(@readme),
         [_, documentation, _] <- String.split(text, "<!-- MDOC !-->") do
      documentation
    else
      _missing -> "vLLM's `AsyncLLM` from Elixir."
    end

  if File.exists?(@readme), do: @external_resource(@readme)

  @moduledoc """
  #{readme}

  ## Options of an instance

  #{Vllm.Core.Instance.options_docs()}

  ### A worker that was started elsewhere

  With `connect:` the instance starts no worker. What it declares with `engines:` is asked for by name:
  the worker builds an engine for the first instance that declares the name, those that come meanwhile
  wait for it, and later ones find it. It belongs to the worker. It stays when an instance stops or
  loses its session, until somebody shuts it down or the worker ends, and it is built anew when it dies
  or the worker is replaced. An instance that declares the name with other arguments gets `:invalid`,
  which says the arguments that differ. `engines/1` lists what a worker has.

      {Vllm, name: MyApp.Vllm, connect: "unix:/run/vllm/worker.sock",
             engines: [llama: [model: "meta-llama/Llama-3.2-1B"]]}

  ### Engines that hang

  An engine whose processes are alive may still make no progress, for example in a kernel that does not
  return, or because it waits for another machine. vLLM's `check_health` does not detect that.
  Therefore the worker measures how long an engine with requests has produced no output. The time is
  not measured while the engine is paused or asleep, while its weights are replaced, and while a
  streamed prompt waits for its next part. The option `:watchdog` takes

  #{Vllm.Core.Instance.Watchdog.options_docs()}

  When an engine hangs, this happens:

    * It is logged, and the event `[:vllm, :engine, :stalled]` is emitted; `[:vllm, :engine, :recovered]`
      follows if the engine makes progress again (see `Vllm.Telemetry`).
    * `"stalled_s"` in `status/1` says for how many seconds it has hung.
    * The worker's `grpc.health.v1` reports `NOT_SERVING` for the id of its reference and for `""`.
    * Its calls go on waiting, each until its own timeout. With `action: :replace` they fail at once
      with `:worker_down` and the reason, as do the calls of all other engines of the worker.

      {Vllm, name: MyApp.Vllm, engines: [llama: [model: "meta-llama/Llama-3.2-1B"]],
             watchdog: [stall_after: 60_000, action: :replace]}

  ### TLS

  With `connect: "tls://host:port"` the option `:tls` takes

  #{Vllm.Core.Wire.TLS.options_docs()}
  The files are read again for each connection. The guide *TLS* shows both sides.
  """

  alias Vllm.{Call, Chat, Error, KVEvents, Pooling, Ref, Status}
  alias Vllm.Core.{Connection, Instance, Options, RedactedServer}
  alias Vllm.Core.Call.Ownership
  alias Vllm.Core.Instance.{Declared, Listing, Locator, Metrics, Overview, Top}
  alias Vllm.Core.Pool.Lookup

  @typedoc "An instance: the name it was started with, on this node or another."
  @type instance :: atom() | {atom(), node()}

  @typedoc """
  An engine: a reference, or the name of a declared engine and where it is, an instance or a `Vllm.Pool`. A
  name is looked up in each call, which costs less than a microsecond.
  """
  @type engine :: Ref.t() | {instance(), atom()}

  @doc """
  A child for a supervision tree: a Python worker and the connection to it.

      children = [
        {Vllm, name: MyApp.Vllm}
      ]

  See the options above. Raises `ArgumentError` if they are no keyword list; `start_link/1` checks them.
  No report of the supervisor shows them, because they may hold a token or secret variables.
  """
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(options) do
    Options.check!(:keyword_list, options, "the options of Vllm")

    RedactedServer.child(%{
      id: Keyword.get(options, :name, __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      type: :supervisor
    })
  end

  @doc """
  Starts an instance. Returns when its worker serves. Otherwise returns a `Vllm.Error` with the reason
  and the last lines of the worker's output.
  """
  @spec start_link(keyword()) :: Supervisor.on_start() | {:error, Error.t()}
  defdelegate start_link(options), to: Instance

  @doc """
  Calls any public method, or reads any public property, of the object behind a reference.

  The modules named after vLLM's classes have a documented function for every method. This function is
  for objects that have no module.

      {:ok, tokenizer} = Vllm.AsyncLLM.get_tokenizer(engine)
      {:ok, ids} = Vllm.call(tokenizer, "encode", ["Hello"], add_special_tokens: false)

  `method` is a string or an atom. The list holds Python's positional arguments, the keyword list its named arguments. `rpc:` takes the
  options of the bridge, see `Vllm.Call`.
  """
  @spec call(engine(), String.t() | atom(), [term()] | keyword(), keyword()) ::
          {:ok, term()} | {:error, Error.t()}
  def call(ref, method, args \\ [], opts \\ []) do
    Call.invoke(ref, method, [], args, opts)
  end

  @doc "Answers a chat; see `Vllm.Chat.chat/3`."
  @spec chat(engine(), Chat.messages(), keyword()) ::
          {:ok, Vllm.ChatCompletion.t()} | {:error, Error.t()}
  defdelegate chat(engine, messages, opts \\ []), to: Chat

  @doc "Answers a chat piece by piece; see `Vllm.Chat.stream_chat/3`."
  @spec stream_chat(engine(), Chat.messages(), keyword()) ::
          {:ok, Vllm.Stream.t()} | {:error, Error.t()}
  defdelegate stream_chat(engine, messages, opts \\ []), to: Chat

  @doc "Answers with a value that fits a JSON schema; see `Vllm.Chat.json/4`."
  @spec json(engine(), Chat.messages(), map(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  defdelegate json(engine, messages, schema, opts \\ []), to: Chat

  @doc "Embeds a batch of texts; see `Vllm.Pooling.embed/3`."
  @spec embed(engine(), Pooling.input() | [Pooling.input()], keyword()) ::
          {:ok, Vllm.EmbeddingBatch.t()} | {:error, Error.t()}
  defdelegate embed(engine, inputs, opts \\ []), to: Pooling

  @doc "Classifies a batch of texts; see `Vllm.Pooling.classify/3`."
  @spec classify(engine(), Pooling.input() | [Pooling.input()], keyword()) ::
          {:ok, Vllm.ClassificationBatch.t()} | {:error, Error.t()}
  defdelegate classify(engine, inputs, opts \\ []), to: Pooling

  @doc "Scores how well queries and documents fit each other; see `Vllm.Pooling.score/4`."
  @spec score(
          engine(),
          Pooling.scored() | [Pooling.scored()],
          Pooling.scored() | [Pooling.scored()],
          keyword()
        ) :: {:ok, Vllm.ScoreBatch.t()} | {:error, Error.t()}
  defdelegate score(engine, queries, documents, opts \\ []), to: Pooling

  @doc "Computes a pooling task, with a tensor for each input; see `Vllm.Pooling.encode/3`."
  @spec encode(engine(), Pooling.input() | [Pooling.input()], keyword()) ::
          {:ok, Vllm.PoolingBatch.t()} | {:error, Error.t()}
  defdelegate encode(engine, inputs, opts), to: Pooling

  @doc "Subscribes to the changes of an engine's KV cache; see `Vllm.KVEvents.kv_events/2`."
  @spec kv_events(engine(), keyword()) :: {:ok, Vllm.Stream.t()} | {:error, Error.t()}
  defdelegate kv_events(engine, opts \\ []), to: KVEvents

  @doc """
  Returns the engine that an instance declares under a name.

      children = [
        {Vllm, name: MyApp.Vllm, engines: [llama: [model: "meta-llama/Llama-3.2-1B"]]}
      ]

      {:ok, engine} = Vllm.engine(MyApp.Vllm, :llama)

  Waits up to `timeout` milliseconds, or `:infinity`, while the engine is being built. If the engine or its worker dies,
  the engine is rebuilt, and this function returns the new one. So call it before each request instead
  of keeping the reference: it costs less than a microsecond. Functions that take an engine take its name
  too: `Vllm.chat({MyApp.Vllm, :llama}, "Hello")`.

  Of a `Vllm.Pool` it returns the engine of the member with the least load.

  ## Errors

    * `:invalid` - a name is no atom, or `timeout` is out of its bounds
    * `:timeout` - the engine is still being built
    * `:not_found` - no engine with this name is declared
    * `:worker_down` - the instance is restarting, or is not running
    * `:engine_dead` - the engine has died several times in a row; it is rebuilt after a pause
    * `:draining` - the instance is stopping
    * the error of `Vllm.AsyncLLM.from_engine_args/2`, if the engine did not start
  """
  @spec engine(instance(), atom(), timeout()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def engine(instance \\ Vllm.Default, name, timeout \\ 60_000) do
    with {:ok, instance} <- Locator.locate(instance),
         :ok <- Options.check(:atom, name, "the name of an engine"),
         :ok <- Options.check(:timeout, timeout, "timeout"),
         do: Lookup.engine(instance, name, timeout)
  end

  @doc """
  Lists the engines that the worker of an instance has, whoever built them.

      {:ok, [%{name: "llama", ref: engine, type: "AsyncLLM", model: "llama"}]} = Vllm.engines(MyApp.Vllm)

  For each engine, an `AsyncLLM` or an `LLM`, it returns a map with these keys:

    * `:name` - the atom that this instance declares it under with `engines:`; the name, as a string,
      if another instance at the same worker declares it; or `nil`
    * `:ref` - its reference, which works as one that a constructor returned
    * `:type` - `"AsyncLLM"` or `"LLM"`
    * `:model` - the name its model is served under, or `nil`
    * `:state` - `:ready`, `:stalled` (see *Engines that hang*) or `:dead`
    * `:unfinished_requests` - how many requests it has, or `nil`

  An engine that is being built is not among them. Without an argument it lists those of the default
  instance.
  """
  @spec engines(instance()) :: {:ok, [map()]} | {:error, Error.t()}
  def engines(instance \\ Vllm.Default),
    do: with({:ok, instance} <- Locator.locate(instance), do: Listing.read(instance))

  @doc """
  Returns what runs on this node: each instance, its worker and its engines, with requests, tokens per second
  and the use of the KV cache. IEx shows it as a table; see `Vllm.Status`.

  If an engine has requests, the tokens that vLLM counts are read twice, so it takes half a second. An
  instance that does not answer has its error in the table. `top/1` shows the table again and again.
  """
  @spec status() :: Status.t()
  defdelegate status(), to: Overview, as: :read

  @doc """
  Returns the status that the worker of an instance reports, and of each of its engines: among others
  whether its tokens take the direct path (`"token_path"`), and why not. The key `"client"` holds what the client
  knows: how many calls are in flight, and the state of each engine that is declared with `engines:`,
  which is `:building`, `{:ready, ref}` or `{:failed, error}`.
  """
  @spec status(instance()) :: {:ok, map()} | {:error, Error.t()}
  def status(instance) do
    with {:ok, instance} <- Locator.locate(instance),
         {:ok, status} <- Call.invoke_class("Worker", "status", 0, [instance]),
         {:ok, client} <- Connection.info(instance),
         {:ok, engines} <- Declared.statuses(instance) do
      {:ok, Map.put(status, "client", Map.put(client, :engines, engines))}
    end
  end

  @top [
    {:interval, :milliseconds, 1_000, "milliseconds between two readings."},
    {:timeout, :timeout, :infinity,
     "after how many milliseconds it ends. `:infinity` ends when Enter is pressed, or when the input is " <>
       "at its end."}
  ]

  @doc """
  Shows the table of `status/0` and refreshes it, until Enter is pressed or the time is over.

      Vllm.top()
      Vllm.top(timeout: 10_000)

  On a terminal the table stays in its place; elsewhere one follows the other. Options:

  #{Options.docs(@top)}
  """
  @spec top(keyword()) :: :ok | {:error, Error.t()}
  def top(options \\ []) do
    with {:ok, options} <- Options.validate(@top, options, "the options of Vllm.top/1"),
         do: Top.run(options)
  end

  @doc """
  Returns vLLM's metrics of each engine of an instance: running and waiting requests, use of the KV
  cache, tokens, times.

      {:ok, [%{engine: :llama, model: "llama", metrics: metrics}]} = Vllm.metrics(MyApp.Vllm)
      metrics.requests_running
      metrics.generation_tokens

  For each engine it returns a map with these keys:

    * `:engine` - the name it is declared under, or `nil`
    * `:ref` - its reference
    * `:model` - the name its model is served under
    * `:token_path` - `:direct` if tokens are taken from vLLM's request states, `:outputs` if vLLM makes
      every output, which is slower
    * `:token_path_reason` - why the path is not `:direct`, or `nil`
    * `:metrics` - the measurements of `[:vllm, :engine, :metrics]` in `Vllm.Telemetry`; `nil` for an
      engine that was built with `disable_log_stats: true`. Totals start at 0 with the engine.

  Without an argument it returns the metrics of the default instance. The option `metrics_interval:`
  emits the same as telemetry events.
  """
  @spec metrics(instance()) :: {:ok, [map()]} | {:error, Error.t()}
  def metrics(instance \\ Vllm.Default),
    do: with({:ok, instance} <- Locator.locate(instance), do: Metrics.read(instance))

  @doc """
  Returns the version of the vLLM that the worker of an instance has, such as `"0.32.0"`; `nil` if there is
  none. Without an argument it is that of the default instance, which is started if necessary. The structs
  describe the version that `Vllm.Classes.vllm_version/0` gives.
  """
  @spec version() :: {:ok, String.t() | nil} | {:error, Error.t()}
  def version, do: worker_version([])

  @doc "See `version/0`."
  @spec version(instance()) :: {:ok, String.t() | nil} | {:error, Error.t()}
  def version(instance), do: worker_version([instance])

  defp worker_version(place) do
    with {:ok, status} <- Call.invoke_class("Worker", "status", 0, place),
         do: {:ok, status["vllm_version"]}
  end

  @doc """
  Reads an attribute of the Python module `vllm`, or of a submodule that vLLM documents.

      {:ok, 128} = Vllm.module_attr("sampling_params", "MAX_LOGPROB_TOKEN_IDS")
      {:ok, %{"kind" => "class", "name" => "vllm.v1.engine.async_llm.AsyncLLM"}} =
        Vllm.module_attr("vllm", "AsyncLLMEngine")

  It only reads, and calls nothing. `path` is `"vllm"` or the name of the submodule. The result is the
  value, if it is plain data; of a class, a function or a module its `kind`, `name` and `doc`. `vllm.envs` is
  not read, because it gives the worker's environment, where secrets are.

  Runs on the default instance, or on the one that `module_attr/3` names.

  ## Errors

    * `:not_found` - the module is not among the documented ones, or has no such public attribute
    * those of every call, see `Vllm.AsyncLLM`
  """
  @spec module_attr(String.t(), String.t()) :: {:ok, term()} | {:error, Error.t()}
  def module_attr(path, name), do: Call.invoke_class("vllm", "module_attr", 2, [path, name])

  @doc "See `module_attr/2`."
  @spec module_attr(instance(), String.t(), String.t()) :: {:ok, term()} | {:error, Error.t()}
  def module_attr(instance, path, name),
    do: Call.invoke_class("vllm", "module_attr", 2, [instance, path, name])

  @doc """
  Starts or joins a Ray cluster for the engines of a configuration, as Python's function of this name.

      {:ok, config} = Vllm.AsyncEngineArgs.create_engine_config(model: "…", tensor_parallel_size: 16)
      {:ok, nil} = Vllm.initialize_ray_cluster(config, ray_address: "10.0.0.1:6379")

  `config` is a reference to a `VllmConfig` or its `parallel_config`. Options: `ray_address`, and
  `require_gpu_on_driver` (default `true`).

  ## Errors

    * `:unsupported` - the worker's Python has no Ray
    * `:invalid` - `config` is another object
    * those of every call, see `Vllm.AsyncLLM`
  """
  @spec initialize_ray_cluster(Ref.t(), [term()] | keyword(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def initialize_ray_cluster(config, args_or_opts \\ [], opts \\ []) do
    with :ok <- Ref.check(config) do
      arguments = [config.instance, config, args_or_opts, opts]
      Call.invoke_class("vllm", "initialize_ray_cluster", 1, arguments)
    end
  end

  @doc """
  Releases a reference: the calling process no longer owns it. The worker frees the object when no
  process owns the reference any more. Releasing a reference twice is harmless. Using it afterwards
  returns an error of the kind `:stale_ref`. An engine is not affected: it lives, and its reference
  works, until it is shut down. The only error is `:invalid`, for a term that is no reference of a
  worker.
  """
  @spec release(Ref.t()) :: :ok | {:error, Error.t()}
  def release(ref), do: with(:ok <- Ref.check(ref), do: Ownership.release(ref))

  @doc """
  Makes `owner` another owner of a reference. The object lives until its last owner has ended. The only
  error is `:invalid`, as in `release/1`.
  """
  @spec share(Ref.t(), pid()) :: :ok | {:error, Error.t()}
  def share(ref, owner \\ self()) do
    with :ok <- Ref.check(ref),
         :ok <- Options.check(:pid, owner, "the owner of a reference"),
         do: Ownership.share(ref, owner)
  end
end
