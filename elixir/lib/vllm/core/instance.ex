defmodule Vllm.Core.Instance do
  @moduledoc false
  # The supervision tree of one worker:
  #
  #     Instance, registered under the instance's name             one_for_all
  #     ├── Worker             the Python process                  permanent
  #     ├── Tasks              forwarders of `stream_to:`          permanent
  #     ├── Connection         the session with the worker         permanent
  #     ├── Engines            the declared engines                permanent
  #     ├── Drain              the grace period at a stop          permanent
  #     └── Metrics            events, with `metrics_interval:`    permanent
  #
  # one_for_all, because no child is useful without the others: a session belongs to one run of the
  # worker, and so do the objects that references name. Children stop in reverse order: calls in
  # flight get their grace period before the connection closes, the connection closes before the
  # worker is told to stop, and the forwarders still run, to tell their receivers that the
  # connection has closed.
  #
  # With the option `connect:` the worker was started elsewhere, and there is no Worker process.

  use Supervisor

  alias Vllm.Error
  alias Vllm.Core.{Connection, Options, RedactedServer, RedactedSupervisor, Worker}
  alias Vllm.Core.Connection.{Reconnect, Resumption}
  alias Vllm.Core.Instance.{Drain, Engines, Locator, Metrics, Running, Watchdog}
  alias Vllm.Core.Wire.{Socket, TLS}

  @table [
    {:name, :instance, :required, "it is passed to the functions that need an instance."},
    {:python, :string, nil,
     "the Python interpreter. `Vllm.Environment` says which one is used by default."},
    {:worker_args, {:list, :string}, [],
     "further arguments of the worker, such as `[\"--log-level\", \"debug\"]`."},
    {:engine_class, :string, nil,
     "`\"module:Class\"` of an engine class to serve in place of vLLM's, for tests."},
    {:env, :env, %{},
     "environment variables of the worker, such as `%{\"CUDA_VISIBLE_DEVICES\" => \"0\"}`; " <>
       "`false` removes one."},
    {:listen, {:or, [{:in, [:unix]}, {:port, :tcp}]}, :unix,
     "`:unix` for a socket in a folder that only this user may enter, or `{:tcp, port}` on the " <>
       "loopback address (port 0 picks a free one). gRPC is served beside it: at the socket's path " <>
       "with `.grpc` behind it, or at the next port. `worker_args: [\"--grpc-listen\", \"none\"]` " <>
       "turns it off, and an address in place of `none` moves it."},
    {:socket_dir, :path, nil,
     "where the folder of the socket is made, which only this user may enter. If unset, in TMPDIR, " <>
       "or in another folder for temporary files if TMPDIR does not suit the sockets of vLLM: they " <>
       "take a path of at most 56 letters, digits and `/._-`. Where `:socket_dir` itself does not, " <>
       "vLLM's sockets lie in such a folder too. `mix vllm.doctor` says which it is."},
    {:start_timeout, :timeout, 30_000,
     "how long the worker may take until it serves. With `:connect`: how long the address is tried " <>
       "at the start. A worker that is lost later is tried again without a limit, with pauses of " <>
       "up to 5 s; calls fail with `:worker_down` meanwhile."},
    {:grace, :milliseconds, 5_000,
     "how many milliseconds calls in flight have to finish when the instance or its worker is " <>
       "stopped. New calls are refused with `:draining`, and calls still in flight after that time " <>
       "fail with it. Shutting engines down takes up to 10 s more; then the worker is killed."},
    {:max_calls, {:range, 1, 10_000_000}, 10_000,
     "how many calls the worker runs at once, streams included; more are refused with " <>
       "`:overloaded`. Methods that report on requests or end them, such as `abort`, are not counted."},
    {:token_path, {:in, [:auto, :outputs]}, :auto,
     "`:auto` takes tokens directly from vLLM's request states if the worker knows the sources of " <>
       "its vLLM; `:outputs` has vLLM make every output, which is slower and brings the same. " <>
       "`Vllm.status/1` says which path each engine has and why. Not for `:connect`."},
    {:nice, {:range, 0, 19}, 10,
     "the nice value of the worker's session where Linux divides the CPU among sessions (autogroup). " <>
       "Higher values let the BEAM run sooner, and give vLLM less beside other busy sessions; `0` " <>
       "changes nothing. *When all cores are busy* in the performance guide has figures, and " <>
       "`mix vllm.doctor` says whether it matters on a machine. Not for `:connect`."},
    {:log, {:in, [:auto, :debug, :info, :notice, :warning, :error, false]}, :auto,
     "the level at which the worker's output is logged: each line's own with `:auto`, the same " <>
       "for every line, or `false` to log nothing."},
    {:max_restarts, {:range, 1, 1_000_000}, 5,
     "how many times the worker may be restarted within `:max_seconds` before the instance " <>
       "gives up and its supervisor decides. Not for `:connect`."},
    {:max_seconds, {:range, 1, 1_000_000}, 60, "see `:max_restarts`."},
    {:engines, :engines, [],
     "`Vllm.AsyncLLM` engines that run as long as the instance does, such as " <>
       "`[llama: [model: \"meta-llama/Llama-3.2-1B\"]]`; see `Vllm.engine/3`. They are built " <>
       "one after the other when the worker serves, and rebuilt when one dies or the worker is " <>
       "replaced. With `:connect` the worker builds an engine for the first instance that declares " <>
       "its name, and all that declare the same share it; see *A worker that was started elsewhere*."},
    {:watchdog, :keyword_list, [],
     "when an engine counts as hanging, and what happens then: see *Engines that hang*."},
    {:metrics_interval, {:or, [:milliseconds, {:in, [:infinity]}]}, :infinity,
     "how often, in milliseconds, what `Vllm.metrics/1` returns is emitted as telemetry events; " <>
       "see `Vllm.Telemetry`. `:infinity` for never."},
    {:connect, :addresses, nil,
     "the address of a worker that was started elsewhere, `\"unix:PATH\"`, `\"tcp:HOST:PORT\"` or " <>
       "`\"tls://HOST:PORT\"`, as its `--listen` has it (the path as it is, not as a URI): the address of its gRPC is refused with an " <>
       "error that names the right one. No worker is started then. A list of addresses is tried in its " <>
       "order, at the start and again when the session is lost. If another worker serves at one of them, " <>
       "earlier references are `:stale_ref` there."},
    {:pool, :instance, nil,
     "the `Vllm.Pool` that the instance joins, on all connected nodes where there is one of this name."},
    {:disconnect_grace, :pause, 30_000,
     "how many milliseconds references are kept whose owner is on a node that has disconnected. If the " <>
       "node comes back in this time and the owner lives, it still owns them. With `:connect` the worker " <>
       "keeps the references of a session that is lost for as long, an hour at most, and the next session " <>
       "has them again. Streams and calls end at once in both cases."},
    {:token, :secret, nil, "the token of that worker."},
    {:tls, :keyword_list, [],
     "how a worker at an address that begins with `tls://` is checked, and what it is shown: see *TLS*."}
  ]

  @doc "The options, as documentation."
  @spec options_docs() :: String.t()
  def options_docs, do: Options.docs(@table)

  @doc "Starts an instance. Returns when its worker serves, or the error that kept it from serving."
  @spec start_link(keyword()) :: Supervisor.on_start() | {:error, Error.t()}
  def start_link(options) do
    with {:ok, options} <- validate(options) do
      case RedactedSupervisor.start_link(__MODULE__, options, options.name) do
        {:error, {:shutdown, {:failed_to_start_child, _child, {:shutdown, %Error{} = error}}}} ->
          {:error, error}

        other ->
          other
      end
    end
  end

  @doc "Checks the options of an instance and fills in the defaults."
  @spec validate(keyword()) :: {:ok, map()} | {:error, Error.t()}
  def validate(options) do
    with {:ok, options} <- Options.validate(@table, options, "the options of Vllm"),
         options = %{options | connect: options.connect && List.wrap(options.connect)},
         {:ok, watchdog} <- Watchdog.validate(options.watchdog),
         :ok <- check_tls(options),
         {:ok, tls} <- TLS.validate(options.tls),
         options = %{options | watchdog: watchdog, tls: tls},
         :ok <- check_watchdog(options),
         do: {:ok, options}
  end

  # Whoever gives certificates does not expect that nothing is encrypted.
  defp check_tls(%{connect: [_ | _] = addresses, tls: [_ | _]}) do
    case Enum.reject(addresses, &String.starts_with?(&1, "tls:")) do
      [] ->
        :ok

      [address | _] ->
        {:error,
         Error.new(
           :invalid,
           "the option :tls is for an address that begins with tls://, and #{Socket.shown(address)} takes none",
           details: %{"option" => "tls"}
         )}
    end
  end

  defp check_tls(_options), do: :ok

  defp check_watchdog(%{connect: [_ | _] = addresses, watchdog: %{action: :replace}}) do
    {:error,
     Error.new(
       :invalid,
       "the option :watchdog cannot replace the worker at #{Reconnect.shown(addresses)}, which was started " <>
         "elsewhere; use action: :report",
       details: %{"option" => "watchdog"}
     )}
  end

  defp check_watchdog(_options), do: :ok

  @impl true
  def init(options) do
    name = options.name
    Running.put(name)

    {worker, address} =
      case options.connect do
        nil -> {[{Worker, options}], {:worker, Locator.process_name(name, "Worker")}}
        addresses -> {[], addresses}
      end

    connection = [
      instance: name,
      address: address,
      token: options.token || "",
      tls: options.tls,
      start_timeout: options.start_timeout,
      starts: if(options.connect, do: :counters.new(1, [])),
      resumption: if(options.connect, do: Resumption.new()),
      disconnect_grace: options.disconnect_grace,
      silent_after: options.watchdog.silent_after,
      on_engine_event: Watchdog.listener(options.watchdog.action)
    ]

    children =
      worker ++
        [
          RedactedSupervisor.tasks(Locator.process_name(name, "Tasks")),
          {Connection, connection},
          {Engines, {name, options.engines, kind(options), options.pool}},
          {Drain, {name, options.grace}}
        ] ++ metrics(options)

    Supervisor.init(
      Enum.map(children, &RedactedServer.child/1),
      [strategy: :one_for_all] ++ intensity(options)
    )
  end

  # With `connect:` a lost session is no reason to give up: the connection waits for the worker to
  # come back, with pauses.
  defp intensity(%{connect: nil} = options),
    do: [max_restarts: options.max_restarts, max_seconds: options.max_seconds]

  defp intensity(_attached), do: [max_restarts: 1_000, max_seconds: 1]

  # Engines of a worker that was started elsewhere.
  defp kind(options), do: if(options.connect, do: :shared, else: :own)

  defp metrics(%{metrics_interval: :infinity}), do: []
  defp metrics(%{name: name, metrics_interval: interval}), do: [{Metrics, {name, interval}}]
end
