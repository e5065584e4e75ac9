defmodule Vllm.Core.Connection do
  @moduledoc false
  # The process that owns the socket to a worker and the one gRPC call on it, `Session`, which carries
  # everything.
  #
  # It moves frames and knows which process waits for which call. It never reads a payload: arguments
  # are encoded and values are decoded by the processes that call, so a large value of one caller
  # delays no other. Both directions are batched: all requests in the mailbox leave in one frame, and
  # one frame brings what one turn of the worker's event loop made for all streams.
  #
  # Messages to this process are sent by this module and by
  #
  #     Vllm.Core.Call.Caller       {:call, …}, {:cancel, …}
  #     Vllm.Core.Call.Consumer     {:attach, …}, {:credit, …}, {:cancel, …}
  #     Vllm.Core.Call.Producer     {:input, …}
  #     Vllm.Core.Call.Ownership    {:received, …}, {:refused, …}, {:share, …}, {:release, …}
  #
  # from any connected node: an instance is `{name, node}`, a stream is this process's pid and a number.
  #
  # When the session ends, for whatever reason, every waiting call is answered with that reason and the
  # process stops. The supervisor then replaces worker and connection together.
  # There is no reconnecting, because the state of the old worker is lost. With `connect:` the next
  # process waits for the worker that was started elsewhere (Vllm.Core.Connection.Reconnect), and if that
  # has gone on, takes the references over (Vllm.Core.Connection.Resumption).
  #
  # This module receives the messages and decides when the session ends; the steps are in connection/.
  # The path of one call:
  #
  #     Caller.call/5         in the caller: sends {:call, …} and waits
  #     Calls.start/2         gives it a number, records who waits, puts it into the outbox
  #     :flush                Outgoing sends what has been put into the outbox since
  #     {:tcp, …} {:ssl, …}   Incoming finds the waiting process by the number and sends it the reply
  #
  # A worker that is stopped, or that the network has lost, closes nothing: Heartbeat notices it.

  use GenServer
  use Vllm.Core.RedactedServer

  alias Vllm.Error
  alias Vllm.Core.Call.Producers
  alias Vllm.Core.Connection.{Calls, Closing, Handover, Heartbeat, Incoming, Opening, Outgoing}
  alias Vllm.Core.Connection.{References, Routes, State}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.RedactedServer
  alias Vllm.Core.Wire.Socket
  alias Vllm.Proto.{CallRequest, Credit, End, Failure, Input}

  # The last part of this process's name.
  @part "Connection"

  # How many messages the socket sends before it is activated again. This bounds the unread bytes
  # in the mailbox, and saves a system call per message compared to active: :once.
  @active 64

  # What the wire's integers hold. A message with others is not from this library.
  @max_uint32 0xFFFF_FFFF
  @max_uint64 0xFFFF_FFFF_FFFF_FFFF

  # What the encoder of a frame takes. The caller has checked more: see Vllm.Ref.check/1 and
  # Vllm.Core.Call.Arguments.
  defguardp is_request(request)
            when is_binary(request.method) and is_tuple(request.target) and
                   is_binary(elem(request.target, 1)) and
                   (is_binary(request.incarnation) or request.incarnation == nil) and
                   request.timeout_ms in 0..@max_uint64 and
                   request.items in [:unspecified, :text, :token_ids] and
                   (is_binary(request.args) or is_list(request.args)) and
                   (is_binary(request.kwargs) or is_list(request.kwargs))

  ## For the instance

  @doc """
  Options: `:instance`, the name; `:address`, `"unix:PATH"`, `"tcp:HOST:PORT"` or `"tls://HOST:PORT"`, or
  several in a list, or `{:worker, server}` to ask a `Vllm.Core.Worker`; `:token`; `:tls`, as
  Vllm.Core.Wire.TLS has it; `:start_timeout`, how long an address that was given is tried; `:disconnect_grace`, how long references are kept whose owner's node has
  disconnected, or whose session is lost; `:resumption`, where they are kept meanwhile;
  `:silent_after`, for how many milliseconds a worker may be silent;
  `:on_engine_event`, what is called when an engine dies, stalls or recovers.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(options) do
    name = Keyword.fetch!(options, :instance)
    GenServer.start_link(__MODULE__, options, name: Locator.process_name(name, @part))
  end

  @doc "What the worker's hello contained, and how many calls are in flight."
  @spec info(Locator.instance()) :: {:ok, map()} | {:error, Error.t()}
  def info(instance) do
    case Locator.server(instance, @part) do
      {:ok, server} -> GenServer.call(server, :info)
      :error -> {:error, Locator.down(instance, :noconnection)}
    end
  catch
    :exit, reason -> {:error, Locator.down(instance, Locator.ended(reason))}
  end

  @doc """
  Refuses new calls and waits until those in flight have ended, `grace` milliseconds at most. Those
  that have not get the error `:draining` when this process stops.
  """
  @spec drain(Locator.instance(), pos_integer()) :: :ok
  def drain(instance, grace) do
    with {:ok, server} <- Locator.server(instance, @part),
         do: GenServer.call(server, :drain, grace)

    :ok
  catch
    # The grace period is over, or the session has ended.
    :exit, _reason -> :ok
  end

  ## Start

  @impl true
  def init(options) do
    if Opening.again?(options) do
      state = %State{instance: Opening.instance(options)}
      {:ok, state, {:continue, {:open_again, options}}}
    else
      case Opening.run(options) do
        {:ok, state} -> {:ok, state, {:continue, :activate}}
        {:error, error} -> {:stop, {:shutdown, error}}
      end
    end
  end

  @impl true
  def handle_continue(:activate, state), do: state |> begin() |> go_on()

  def handle_continue({:open_again, options}, state) do
    case Opening.run_again(options) do
      {:ok, state} -> state |> begin() |> go_on()
      {:error, error} -> go_on({:error, error, state})
    end
  end

  ## From the instance

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

  def handle_call(:drain, from, state), do: go_on(%{state | drain: from})

  def handle_call(other, _from, state), do: RedactedServer.stray_call(__MODULE__, other, state)

  @impl true
  def handle_cast(other, state), do: RedactedServer.stray(__MODULE__, "cast", other, state)

  ## From the socket

  @impl true
  def handle_info({tag, socket, bytes}, %{socket: {_module, socket}} = state)
      when tag in [:tcp, :ssl],
      do: state |> Incoming.bytes(bytes) |> go_on()

  def handle_info({tag, socket}, %{socket: {_module, socket}} = state)
      when tag in [:tcp_passive, :ssl_passive],
      do: state |> activate() |> go_on()

  def handle_info({tag, socket}, %{socket: {_module, socket}} = state)
      when tag in [:tcp_closed, :ssl_closed],
      do: go_on({:error, Socket.error(:closed), state})

  def handle_info({tag, socket, reason}, %{socket: {_module, socket}} = state)
      when tag in [:tcp_error, :ssl_error],
      do: go_on({:error, Socket.error(reason), state})

  ## From callers and consumers

  def handle_info(
        {:call, alias_ref, caller, %CallRequest{} = request, window, producer} = call,
        state
      )
      when is_reference(alias_ref) and is_pid(caller) and is_request(request) and
             window in 1..@max_uint32 and (is_pid(producer) or producer == nil),
      do: state |> Calls.start(call) |> go_on()

  def handle_info({:attach, id, alias_ref, [consumer]}, state)
      when is_integer(id) and is_reference(alias_ref) and is_pid(consumer),
      do: state |> Calls.attach(id, alias_ref, [consumer]) |> go_on()

  def handle_info({:attach, id, alias_ref, [consumer, receiver]}, state)
      when is_integer(id) and is_reference(alias_ref) and is_pid(consumer) and is_pid(receiver),
      do: state |> Calls.attach(id, alias_ref, [consumer, receiver]) |> go_on()

  def handle_info({:credit, id, items}, state)
      when id in 1..@max_uint64 and items in 1..@max_uint32,
      do: state |> Outgoing.put(:credits, [%Credit{call: id, items: items}]) |> go_on()

  def handle_info({:cancel, id}, state) when is_integer(id),
    do: state |> Calls.cancel(id) |> go_on()

  # From a process that no longer listens: its call, found by its id or by that alias, has ended.
  def handle_info({:cancel, id_or_alias, alias_ref}, state)
      when (is_integer(id_or_alias) or id_or_alias == alias_ref) and is_reference(alias_ref),
      do: state |> Calls.cancel(id_or_alias, alias_ref) |> go_on()

  ## From the owners of references

  def handle_info({:received, alias_ref, number, owner, link?}, state)
      when is_reference(alias_ref) and is_integer(number) and is_pid(owner) and
             is_boolean(link?),
      do: state |> Handover.received(alias_ref, number, owner, link?) |> go_on()

  def handle_info({:refused, alias_ref}, state) when is_reference(alias_ref),
    do: state |> Handover.withdraw(alias_ref) |> go_on()

  def handle_info({:share, incarnation, id, owner}, %{hello: %{incarnation: incarnation}} = state)
      when is_binary(id) and is_pid(owner),
      do: go_on(update_in(state.references, &References.share(&1, id, owner)))

  def handle_info(
        {:release, incarnation, id, owner, engine?},
        %{hello: %{incarnation: incarnation}} = state
      )
      when is_binary(id) and is_pid(owner) and is_boolean(engine?),
      do: state |> Handover.release(id, owner, engine?) |> go_on()

  # Of a reference of an earlier worker, which has ended with its objects.
  def handle_info({:share, earlier, id, owner}, state)
      when is_binary(earlier) and is_binary(id) and is_pid(owner),
      do: {:noreply, state}

  def handle_info({:release, earlier, id, owner, engine?}, state)
      when is_binary(earlier) and is_binary(id) and is_pid(owner) and is_boolean(engine?),
      do: {:noreply, state}

  ## From producers

  def handle_info({:input, %Input{call: id, step: {:element, bytes}} = input}, state)
      when id in 1..@max_uint64 and is_binary(bytes),
      do: state |> Outgoing.put(:inputs, [input], byte_size(bytes)) |> go_on()

  def handle_info({:input, %Input{call: id, step: {kind, %module{}}} = input}, state)
      when id in 1..@max_uint64 and {kind, module} in [{:end, End}, {:failure, Failure}],
      do: state |> Outgoing.put(:inputs, [input]) |> go_on()

  def handle_info({:overdue, producer}, state) when is_pid(producer) do
    Producers.kill(producer)
    go_on(state)
  end

  ## From the runtime and this process

  def handle_info({:DOWN, monitor, :process, _pid, reason}, state) do
    with :unknown <- Producers.down(state.producers, monitor, reason),
         :unknown <- References.down(state.references, monitor, reason) do
      state |> Calls.cancel(monitor) |> go_on()
    else
      {:ok, inputs, %Producers{} = producers} ->
        %{state | producers: producers} |> Outgoing.put(:inputs, inputs) |> go_on()

      {:ok, parcels, %References{} = references} ->
        %{state | references: references} |> Handover.let_go(parcels) |> go_on()
    end
  end

  # A node is connected again within the time that references are kept for its processes.
  def handle_info({:nodeup, node, _info}, state),
    do: go_on(update_in(state.references, &References.node_up(&1, node)))

  def handle_info({:nodedown, _node, _info}, state), do: {:noreply, state}

  # That time is over.
  def handle_info({:timeout, timer, :absent}, state) do
    case References.expired(state.references, timer) do
      {:ok, parcels, references} ->
        go_on(Handover.let_go(%{state | references: references}, parcels))

      # The node came back in the meantime.
      :unknown ->
        {:noreply, state}
    end
  end

  def handle_info(:flush, state), do: state |> Outgoing.flush() |> go_on()
  def handle_info(:heartbeat, state), do: state |> Heartbeat.look() |> go_on()

  # The socket's port. Its own messages, above, say why it closed.
  def handle_info({:EXIT, _port, _reason}, state), do: {:noreply, state}

  # Of a socket before this one.
  def handle_info({tag, _socket}, state)
      when tag in [:tcp_closed, :tcp_passive, :ssl_closed, :ssl_passive],
      do: {:noreply, state}

  # An unexpected message must not end every call.
  def handle_info(other, state), do: RedactedServer.stray(__MODULE__, "message", other, state)

  @impl true
  def terminate(reason, state), do: Closing.run(state, reason)

  @impl RedactedServer.format_status?()
  # What a crash or :sys.get_status/1 may show. Requests hold prompts.
  def format_status(status) do
    RedactedServer.hide(status, &%{instance: &1.instance, calls: Routes.size(&1.routes)})
  end

  ## After each message

  defp begin(state) do
    _timer = Heartbeat.plan(state)
    activate(state)
  end

  defp activate(state) do
    case Socket.activate(state.socket, @active) do
      :ok -> {:ok, state}
      {:error, reason} -> {:error, Socket.error(reason), state}
    end
  end

  # After every step: an error ends the session, a drain that waited for the last call is answered,
  # and a full frame is sent.
  defp go_on({:ok, state}), do: go_on(state)
  defp go_on({:error, error, state}), do: {:stop, Closing.reason(state, error), state}

  defp go_on(%State{drain: {_, _} = from, routes: %{calls: calls}} = state) when calls == %{} do
    GenServer.reply(from, :ok)
    go_on(%{state | drain: :done})
  end

  defp go_on(%State{} = state) do
    case Outgoing.flush_full(state) do
      {:ok, state} -> {:noreply, state}
      {:error, _error, _state} = ended -> go_on(ended)
    end
  end
end
