defmodule Vllm.Connection do
  @moduledoc false
  # The process that owns the socket to a worker and the one gRPC call on it, `Session`, through
  # which everything goes.
  #
  # It moves frames and knows which process waits for which call. It never looks into a payload:
  # arguments are encoded and values are decoded by the processes that call, so a large value costs
  # nobody else time. Both directions are gathered: every request that is in the mailbox leaves in
  # one frame, and one frame brings every reply of one turn of the worker's event loop.
  #
  # All messages to this process are sent by the functions of this module, of Vllm.Exchange for callers
  # and of Vllm.Subscription for consumers of streams. They work from any connected node: an instance is `{name, node}`,
  # a stream is known by this process's pid.
  #
  # When the session ends, for whatever reason, every call that waits is answered with the reason
  # and the process stops. The supervisor then replaces worker, connection and reference tracker
  # together; there is no reconnecting, because what the old worker knew is gone. With `connect:` the
  # next process waits for the worker that somebody else starts (Vllm.Attach).

  use GenServer
  use Vllm.Discreet

  require Logger

  alias Vllm.{Attach, Engines, Error, Exchange, Instance, Obituary, Outbox, Producer, Producers}
  alias Vllm.{Ref, Refs, Routes, Session, Socket, Telemetry, Watchdog, Worker}
  alias Vllm.Proto.{CallReply, CallRequest, Credit, Failure, Input, Notice, ServerFrame}
  alias Vllm.Proto.StartCall

  # The last part of this process's name.
  @part "Connection"

  # How long is waited for the reason why the worker has ended, before every call is answered: with
  # real engines it takes 450 ms until the last process that holds its log is gone.
  @reason_timeout 600

  # Socket messages until the socket has to be asked for more. Bounds what lies in the mailbox
  # unread, at a system call less per message than active: :once.
  @active 64

  @typedoc "An instance, as it is known on every node."
  @type instance :: {name :: atom(), node()}

  @typedoc "A stream: the connection that serves it and its number there."
  @type stream :: {pid(), Routes.id()}

  @type reply ::
          {:value, binary()}
          | {:handed, binary(), Exchange.receipt()}
          | {:stream, stream()}
          | {:failure, Failure.t()}
          | {:error, Error.t()}
          # what a worker must not send first
          | {:item, binary()}
          | {:end, term()}

  defstruct [
    :instance,
    :socket,
    :session,
    # what the worker said of itself
    :hello,
    routes: %Routes{},
    producers: %Producers{},
    next_id: 1,
    outbox: %Outbox{},
    # what is done about an engine that hangs
    watchdog: :report,
    # when the session was opened
    since: nil,
    # who waits for the end of the calls in flight, then :done; new calls are refused
    drain: nil
  ]

  ## For the instance

  @doc """
  Options: `:instance`, the name; `:address`, `"unix:PATH"` or `"tcp:HOST:PORT"`, or
  `{:worker, server}` to ask a `Vllm.Worker`; `:token`; `:start_timeout`, how long an address that
  was given is tried; `:watchdog`, the action of `Vllm.Watchdog`.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(options) do
    name = Keyword.fetch!(options, :instance)
    GenServer.start_link(__MODULE__, options, name: Instance.process_name(name, @part))
  end

  @doc "What the worker said of itself, and how many calls are in flight."
  @spec info(instance()) :: {:ok, map()} | {:error, Error.t()}
  def info(instance) do
    case Instance.server(instance, @part) do
      {:ok, server} -> GenServer.call(server, :info)
      :error -> {:error, Instance.down(instance, :noconnection)}
    end
  catch
    :exit, _reason -> {:error, Instance.down(instance, :noproc)}
  end

  @doc """
  Refuses new calls and waits until those in flight have ended, `grace` milliseconds at most. Those
  that have not get the error `:draining` when this process stops.
  """
  @spec drain(instance(), pos_integer()) :: :ok
  def drain(instance, grace) do
    with {:ok, server} <- Instance.server(instance, @part),
         do: GenServer.call(server, :drain, grace)

    :ok
  catch
    # The time is over, or the session with the worker.
    :exit, _reason -> :ok
  end

  ## For callers

  @doc """
  Sends a request and waits for its first reply. `window` is how many items a stream may be ahead
  of its consumer, `enumerable` the argument that is a stream, if there is one.
  """
  @spec call(instance(), CallRequest.t(), timeout(), pos_integer(), Enumerable.t() | nil) ::
          reply()
  def call(instance, %CallRequest{} = request, timeout, window, enumerable \\ nil) do
    case Instance.server(instance, @part) do
      {:ok, server} when enumerable == nil ->
        Exchange.run(server, instance, request, timeout, window, nil)

      {:ok, server} ->
        Producer.during(
          enumerable,
          server,
          &Exchange.run(server, instance, request, timeout, window, &1)
        )

      :error ->
        {:error, Instance.down(instance, :noconnection)}
    end
  end

  @doc "Cancels a stream, whoever consumes it. Harmless when it is over."
  @spec cancel(stream()) :: :ok
  def cancel({connection, id}) do
    send(connection, {:cancel, id})
    :ok
  end

  @doc "Sends one step of an argument that is a stream; for `Vllm.Producer`."
  @spec input(pid(), Routes.id(), {:element, binary()} | {:end | :failure, struct()}) :: :ok
  def input(connection, id, step) do
    send(connection, {:input, %Input{call: id, step: step}})
    :ok
  end

  @doc "Lets references of a worker's incarnation go; for `Vllm.Refs`."
  @spec release(instance(), String.t(), [String.t()]) :: :ok
  def release({_name, _node} = instance, incarnation, ids) do
    with {:ok, server} <- Instance.server(instance, @part) do
      send(server, {:release, incarnation, ids})
    end

    :ok
  end

  defp now, do: System.monotonic_time(:millisecond)

  ## Start

  @impl true
  def init(options) do
    # A worker of somebody else is waited for by whoever starts the instance, but not by the
    # supervisor each time that it was lost: a supervisor that waits cannot be stopped.
    if again?(options[:starts]) do
      instance = {Keyword.fetch!(options, :instance), node()}
      {:ok, %__MODULE__{instance: instance}, {:continue, {:open, options}}}
    else
      case open(options, deadline(options)) do
        {:ok, state} -> {:ok, state, {:continue, :activate}}
        {:error, error} -> {:stop, {:shutdown, error}}
      end
    end
  end

  defp again?(nil), do: false

  defp again?(starts) do
    :counters.add(starts, 1, 1)
    :counters.get(starts, 1) > 1
  end

  defp open(options, deadline) do
    instance = {Keyword.fetch!(options, :instance), node()}
    started = System.monotonic_time()

    with {:ok, address, token} <- locate(options),
         {:ok, socket, session, hello, frames} <-
           Attach.run(instance, address, token, deadline) do
      state = %__MODULE__{
        instance: instance,
        socket: socket,
        session: session,
        hello: hello,
        watchdog: Keyword.get(options, :watchdog, :report),
        since: System.monotonic_time()
      }

      event(:up, state, %{duration: state.since - started})

      # For terminate/2: who waits is told why. Not earlier, or a stop would wait for a worker that
      # does not answer.
      Process.flag(:trap_exit, true)
      {:ok, Enum.reduce(frames, state, &handle_frame/2)}
    end
  end

  defp locate(options) do
    case Keyword.fetch!(options, :address) do
      {:worker, worker} -> Worker.address(worker)
      address -> {:ok, address, Keyword.get(options, :token, "")}
    end
  end

  # Our own worker is there once it has told its address. One of somebody else may be about to start.
  defp deadline(options) do
    case {Keyword.fetch!(options, :address), Keyword.get(options, :start_timeout, 0)} do
      {{:worker, _worker}, _timeout} -> now()
      {_address, :infinity} -> :infinity
      {_address, timeout} -> now() + timeout
    end
  end

  @impl true
  def handle_continue(:activate, state), do: activate(state)

  def handle_continue({:open, options}, %{instance: instance}) do
    {:ok, address, _token} = locate(options)
    Attach.wait(instance, address, Obituary.find(instance), Attach.pause(0))
    {:ok, state} = open(options, :infinity)
    activate(state)
  end

  ## Messages

  @impl true
  def handle_call(:info, _from, state) do
    info = %{
      incarnation: state.hello.incarnation,
      pid: state.hello.pid,
      worker_version: state.hello.worker_version,
      vllm_version: state.hello.vllm_version,
      calls: Routes.size(state.routes)
    }

    {:reply, {:ok, info}, state}
  end

  def handle_call(:drain, from, state), do: noreply(%{state | drain: from})

  @impl true
  def handle_info({:tcp, socket, bytes}, %{socket: socket} = state) do
    case take(state, bytes) do
      {frames, nil, state} -> frames |> Enum.reduce(state, &handle_frame/2) |> noreply()
      {frames, error, state} -> frames |> Enum.reduce(state, &handle_frame/2) |> lose(error)
    end
  catch
    {:session_failed, state, error} -> lose(state, error)
  end

  def handle_info({:tcp_passive, socket}, %{socket: socket} = state), do: activate(state)

  def handle_info({:tcp_closed, socket}, %{socket: socket} = state) do
    lose(state, Socket.error(:closed))
  end

  def handle_info({:tcp_error, socket, reason}, %{socket: socket} = state) do
    lose(state, Socket.error(reason))
  end

  def handle_info(
        {:call, alias_ref, _caller, _request, _window, _producer},
        %{drain: drain} = state
      )
      when drain != nil do
    send(alias_ref, {alias_ref, {:error, stopping(state, "it takes no new calls")}})
    {:noreply, state}
  end

  def handle_info({:call, alias_ref, caller, request, window, producer}, state) do
    id = state.next_id
    builds? = match?({:class_name, _class}, request.target)
    routes = Routes.start(state.routes, id, alias_ref, caller, builds?)
    call = %StartCall{id: id, request: request, credit: window}
    bytes = byte_size(request.args) + byte_size(request.kwargs)
    state = if producer, do: feed(state, id, producer), else: state

    # Within one frame releases come last. One that was asked for before this call goes first.
    flushed = if Outbox.releases?(state.outbox), do: flush(state), else: {:noreply, state}

    with {:noreply, state} <- flushed do
      %{state | routes: routes, next_id: id + 1} |> put(:calls, [call], bytes) |> noreply()
    end
  end

  def handle_info({:received, alias_ref}, state) do
    case Routes.take_handed(state.routes, alias_ref) do
      {_value, routes} -> noreply(%{state | routes: routes})
      nil -> noreply(state)
    end
  end

  def handle_info({:attach, id, alias_ref, watch}, state) do
    {result, routes} = Routes.attach(state.routes, id, alias_ref, watch)
    if result == :refused, do: send(alias_ref, {alias_ref, {:error, consumed()}})
    noreply(%{state | routes: routes})
  end

  def handle_info({:credit, id, items}, state) do
    state |> put(:credits, [%Credit{call: id, items: items}]) |> noreply()
  end

  def handle_info({:input, %Input{step: {_kind, payload}} = input}, state) do
    size = if is_binary(payload), do: byte_size(payload), else: 0
    state |> put(:inputs, [input], size) |> noreply()
  end

  def handle_info({:overdue, producer}, state) do
    Producers.kill(producer)
    noreply(state)
  end

  def handle_info({:cancel, id_or_alias}, state) do
    state |> cancel_call(id_or_alias) |> noreply()
  end

  def handle_info({:DOWN, monitor, :process, _pid, reason}, state) do
    case Producers.down(state.producers, monitor, reason) do
      {:ok, inputs, producers} ->
        %{state | producers: producers} |> put(:inputs, inputs) |> noreply()

      :unknown ->
        state |> cancel_call(monitor) |> noreply()
    end
  end

  def handle_info({:release, incarnation, ids}, %{hello: %{incarnation: incarnation}} = state) do
    state |> put(:releases, ids) |> noreply()
  end

  def handle_info({:release, _earlier_incarnation, _ids}, state), do: noreply(state)

  # The socket's port, which tells more by messages of its own.
  def handle_info({:EXIT, _port, _reason}, state), do: {:noreply, state}

  def handle_info(:flush, state) do
    if Outbox.empty?(state.outbox), do: {:noreply, state}, else: flush(state)
  end

  # A stray message is no reason to end every call.
  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, %{session: nil}), do: :ok

  def terminate(reason, state) do
    error =
      if state.drain,
        do: stopping(state, "the grace period for this call is over; it may have run in part"),
        else: Instance.down(state.instance, reason)

    Routes.fail_all(state.routes, error)

    lasted = System.monotonic_time() - state.since
    measurements = %{duration: lasted, calls: Routes.size(state.routes)}
    event(:down, state, measurements, %{error: ended_by(reason)})
  end

  defp ended_by({:shutdown, %Error{} = error}), do: error
  defp ended_by(reason) when reason in [:normal, :shutdown], do: nil
  defp ended_by({:shutdown, _reason}), do: nil
  defp ended_by(_crash), do: Error.new(:protocol, "the connection's process has crashed")

  defp event(what, %{instance: {name, _node}, hello: hello}, measurements, more \\ %{}) do
    metadata = %{
      instance: name,
      incarnation: hello.incarnation,
      worker_version: hello.worker_version,
      vllm_version: if(hello.vllm_version != "", do: hello.vllm_version)
    }

    Telemetry.event([:vllm, :connection, what], measurements, Map.merge(metadata, more))
  end

  defp activate(state) do
    case :inet.setopts(state.socket, active: @active) do
      :ok -> noreply(state)
      {:error, reason} -> lose(state, Socket.error(reason))
    end
  end

  @doc false
  # What a crash or :sys.get_status/1 may show. Requests hold prompts.
  def format_status(status) do
    status
    |> Map.replace(:message, :hidden)
    |> Map.replace(:log, [])
    |> Map.replace_lazy(:state, &%{instance: &1.instance, calls: Routes.size(&1.routes)})
  end

  defp cancel_call(state, id_or_reference) do
    case Routes.take_handed(state.routes, id_or_reference) do
      {value, routes} ->
        Refs.discard_engines(state.instance, value)
        %{state | routes: routes}

      nil ->
        cancel_wanted(state, id_or_reference)
    end
  end

  defp cancel_wanted(state, id_or_reference) do
    {ids, routes} = Routes.cancel(state.routes, id_or_reference)
    Producers.stop(state.producers, ids)
    put(%{state | routes: routes}, :cancels, ids)
  end

  defp stopping(%{instance: {name, _node}}, what) do
    Error.new(:draining, "#{inspect(name)} is stopping: #{what}")
  end

  defp feed(state, id, producer),
    do: %{state | producers: Producers.start(state.producers, id, producer)}

  defp consumed do
    Error.new(
      :conflict,
      "the stream was already enumerated or cancelled, or its owner ended before; a stream " <>
        "can be enumerated once"
    )
  end

  ## What the worker sends

  # Bytes become frames; an error ends the session after the frames that came before it. Also when
  # the worker no longer takes our answer, what it said before it went is worth hearing.
  defp take(state, bytes) do
    {frames, error, out, session} = Session.handle_bytes(state.session, bytes)

    case send_bytes(state, out) do
      :ok -> {frames, error, %{state | session: session}}
      {:error, reason} -> {frames, error || Socket.error(reason), %{state | session: session}}
    end
  end

  defp handle_frame(%ServerFrame{failure: %Failure{} = failure}, state) do
    throw({:session_failed, state, Error.from_proto(failure)})
  end

  defp handle_frame(%ServerFrame{replies: replies, notices: notices}, state) do
    Enum.each(notices, &handle_notice(&1, state))
    %{state | routes: Enum.reduce(replies, state.routes, &handle_reply(&1, &2, state))}
  end

  defp handle_reply(%CallReply{call: id, outcome: {:input_wanted, _}}, routes, state) do
    Producers.want(state.producers, id)
    routes
  end

  defp handle_reply(%CallReply{call: id, outcome: {:inputs_closed, _}}, routes, state) do
    Producers.stop(state.producers, [id])
    routes
  end

  defp handle_reply(%CallReply{call: id, outcome: outcome}, routes, state) do
    outcome = outcome(outcome)

    case Routes.reply(routes, id, outcome) do
      {:ok, routes} ->
        routes

      :unknown ->
        # Cancelled meanwhile. The value may hold references that nobody else would let go.
        with {:value, payload} <- outcome, do: Refs.discard(state.instance, payload)
        routes
    end
  end

  defp outcome({kind, payload}) when kind in [:item, :value], do: {kind, detach(payload)}
  defp outcome(nil), do: {:error, Error.new(:protocol, "the worker sent an empty reply")}
  defp outcome(outcome), do: outcome

  # A payload is a part of the frame it came in. Without a copy, somebody who keeps one item would
  # keep all items of that turn of all streams.
  defp detach(payload) do
    if :binary.referenced_byte_size(payload) > 2 * byte_size(payload),
      do: :binary.copy(payload),
      else: payload
  end

  defp handle_notice(%Notice{event: {:draining, %{grace_ms: grace}}}, state) do
    Logger.notice("the worker is stopping; calls in flight have #{grace} ms", metadata(state))
  end

  defp handle_notice(%Notice{event: {:engine_died, %{ref: ref, failure: failure}}}, state) do
    why = if failure, do: failure.message, else: "no reason given"
    Logger.error("the engine #{ref} died: #{why}", metadata(state))
    Engines.died(state.instance, engine(ref, state), why)
  end

  defp handle_notice(%Notice{event: {:engine_stalled, stalled}}, state) do
    ref = engine(stalled.ref, state)

    with {:replace, error} <- Watchdog.stalled(state.instance, ref, stalled, state.watchdog),
         do: throw({:session_failed, state, error})
  end

  defp handle_notice(%Notice{event: {:engine_recovered, recovered}}, state) do
    Watchdog.recovered(state.instance, engine(recovered.ref, state), recovered)
  end

  # A newer worker's notice.
  defp handle_notice(%Notice{}, _state), do: :ok

  defp engine(id, %{instance: instance, hello: %{incarnation: incarnation}}),
    do: %Ref{instance: instance, incarnation: incarnation, id: id, type: "AsyncLLM"}

  defp metadata(%{instance: {name, _node}}), do: [vllm_instance: name]

  ## What we send

  # The first entry of a frame also sends the reminder to let the frame go. It arrives behind what
  # was in the mailbox by then, which the frame gathers, and before what comes later: waiting for an
  # empty mailbox would let a worker that never stops sending hold up every cancel.
  defp put(%{outbox: outbox} = state, field, values, bytes \\ 0) do
    filled = Outbox.put(outbox, field, values, bytes)
    if Outbox.empty?(outbox) and not Outbox.empty?(filled), do: send(self(), :flush)
    %{state | outbox: filled}
  end

  defp noreply(%{drain: {_, _} = from, routes: %{calls: calls}} = state) when calls == %{} do
    GenServer.reply(from, :ok)
    noreply(%{state | drain: :done})
  end

  defp noreply(state) do
    if Outbox.full?(state.outbox), do: flush(state), else: {:noreply, state}
  end

  defp flush(state) do
    {frame, outbox} = Outbox.take(state.outbox)
    {out, session} = Session.encode(state.session, frame)
    state = %{state | session: session, outbox: outbox}

    case send_bytes(state, out) do
      :ok -> {:noreply, state}
      {:error, reason} -> lose(state, Socket.error(reason))
    end
  end

  defp send_bytes(_state, []), do: :ok
  defp send_bytes(state, out), do: :gen_tcp.send(state.socket, out)

  ## The end

  # The session ends a moment before the reason of it is known.
  defp lose(%{instance: {name, _node} = instance} = state, error) do
    Logger.error("lost the session with the worker: #{error.message}", metadata(state))
    known = if error.kind == :worker_down, do: Worker.reason(instance, @reason_timeout)
    unless known, do: Obituary.put_new(name, error)
    {:stop, {:shutdown, known || error}, state}
  end
end
