defmodule Vllm.Stream do
  @moduledoc """
  The outputs of a request that the engine has accepted, as an `Enumerable`.

      {:ok, stream} = Vllm.AsyncLLM.generate(engine, "Hello", [max_tokens: 16], "req-1")
      for output <- stream, do: IO.puts(hd(output.outputs).text)

  The struct is only a handle; its fields are private.

    * It can be enumerated once, by any process. A second enumeration raises a `Vllm.Error` of the
      kind `:conflict`.
    * The process that enumerates decodes the items, one at a time. The worker is at most
      `rpc: [window: 64]` items ahead, so a slow consumer costs little memory.
    * When the enumeration ends early (`Enum.take/2`, an exception, a `throw`, the end of the process),
      the request is aborted in the engine at once.
    * Until it is enumerated, the stream belongs to the process that made the call, and is aborted
      when that process ends.
    * A failure raises a `Vllm.Error` after the items that came before it. `collect/1` returns the
      error instead.
    * With `rpc: [items: :text]` each item is only the text that is new, and with `:token_ids` a list
      of the new ids. A consumer that needs no more pays less for each token.

          {:ok, stream} = Vllm.AsyncLLM.generate(engine, "Hello", [max_tokens: 16], "req-2", rpc: [items: :text])
          Enum.each(stream, &IO.write/1)

  ## As messages

  A GenServer or a LiveView cannot block in an enumeration. With `stream_to:` the items are sent to its
  mailbox, tagged with the stream that the call returned:

      {:ok, stream} =
        Vllm.AsyncLLM.generate(engine, "Hello", params, "req-1", rpc: [stream_to: self()])

      def handle_info({:vllm, stream, {:item, output}}, state)
      def handle_info({:vllm, stream, :done}, state)
      def handle_info({:vllm, stream, {:error, %Vllm.Error{}}}, state)

  The last message is always `:done` or `{:error, _}`, also when the node of the instance is killed or
  cut off, if the application `:vllm_bridge` runs on the receiver's node. When the receiver ends, the
  request is aborted. While its mailbox holds more than a hundred messages, no more are sent. So a receiver of several
  streams must take messages in the order in which they arrive: if it waits for those of one stream
  only, messages of the others fill the mailbox, and no stream goes on.
  """

  alias Vllm.{Error, RequestOutput}
  alias Vllm.Core.Call.Consumer
  alias Vllm.Core.Codec.OutputPatch
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.RedactedServer
  alias Vllm.Core.Telemetry.Meter

  @enforce_keys [:source, :instance, :class, :method, :window, :deadline]
  defstruct [
    :source,
    :instance,
    :class,
    :method,
    :window,
    :deadline,
    :sent,
    :request_id,
    :ref,
    items: :outputs
  ]

  @type t :: %__MODULE__{
          source: {pid(), pos_integer()},
          instance: {atom(), node()},
          class: String.t(),
          method: String.t(),
          window: pos_integer(),
          deadline: :infinity | {node(), integer()},
          sent: {node(), integer()} | nil,
          request_id: term(),
          ref: Vllm.Ref.t() | nil,
          items: :outputs | :text | :token_ids
        }

  # The supervisor of forwarders on each node where the application runs.
  @forwarders Vllm.Core.Forwarders

  # A receiver with more messages in its mailbox gets no more until it has fewer.
  @max_mailbox 100
  # Milliseconds between two checks of the mailbox. The runtime has no event to wait for.
  @mailbox_interval 5

  @doc """
  Aborts the request. Any process may call it. The process that enumerates the stream gets a
  `Vllm.Error` of the kind `:cancelled`. Does nothing when the stream is over. The only error is
  `:invalid`, for a term that is no stream of a call.
  """
  @spec cancel(t()) :: :ok | {:error, Error.t()}
  def cancel(stream), do: with(:ok <- check(stream), do: Consumer.cancel(stream.source))

  @doc """
  Enumerates the stream and returns its last item; of texts or token ids, all of them joined. With vLLM's `CUMULATIVE` (the default) and
  `FINAL_ONLY` outputs that is the whole answer. For a request with several completions it returns all
  of them, although vLLM's last item holds only those that have changed. Failures are returned, not
  raised.

      {:ok, %Vllm.RequestOutput{finished: true}} = Vllm.Stream.collect(stream)
  """
  @spec collect(t()) :: {:ok, term()} | {:error, Error.t()}
  def collect(stream) do
    with :ok <- check(stream), do: collect_checked(stream)
  end

  defp collect_checked(%{items: :text} = stream), do: joined(stream, &Enum.join/1)
  defp collect_checked(%{items: :token_ids} = stream), do: joined(stream, &Enum.concat/1)

  defp collect_checked(stream) do
    {last, latest} =
      Enum.reduce(stream, {nil, %{}}, fn item, {_previous, latest} ->
        {item, remember(item, latest)}
      end)

    {:ok, whole(last, latest)}
  rescue
    error in Error -> {:error, error}
  end

  defp joined(stream, join) do
    {:ok, join.(stream)}
  rescue
    error in Error -> {:error, error}
  end

  # A stream that no call has returned must not reach the process of a connection.
  defp check(%__MODULE__{source: {connection, id}, instance: {name, node}} = stream)
       when is_pid(connection) and is_integer(id) and id > 0 and is_atom(name) and is_atom(node) do
    if window?(stream.window) and time?(stream.deadline) and time?(stream.sent),
      do: :ok,
      else: foreign()
  end

  defp check(_other), do: foreign()

  defp window?(window), do: is_integer(window) and window > 0

  defp time?({node, time}), do: is_atom(node) and is_integer(time)
  defp time?(none), do: none in [nil, :infinity]

  defp foreign do
    {:error,
     Error.new(:invalid, "this is not a Vllm.Stream that a call has returned; pass one that has")}
  end

  # latest: index => the newest state of this completion
  defp remember(%RequestOutput{outputs: outputs}, latest) when is_list(outputs),
    do: Enum.reduce(outputs, latest, &Map.put(&2, &1.index, &1))

  defp remember(_other, latest), do: latest

  defp whole(%RequestOutput{outputs: outputs} = last, latest)
       when length(outputs) < map_size(latest),
       do: %{last | outputs: latest |> Enum.sort() |> Enum.map(&elem(&1, 1))}

  defp whole(last, _latest), do: last

  ## Messages to a process

  @doc false
  @spec forward_to(t(), pid()) :: {:ok, t()} | {:error, Error.t()}
  def forward_to(%__MODULE__{instance: {_name, node}} = stream, receiver) do
    # On the receiver's node, because the end of the other one has to be its last message.
    there =
      if node(receiver) != node,
        do: start_forwarding({@forwarders, node(receiver)}, stream, receiver)

    with nil <- there,
         {:ok, tasks} <- Locator.server(stream.instance, "Tasks"),
         nil <- start_forwarding(tasks, stream, receiver) do
      not_forwarded(stream)
    else
      {:ok, stream} -> {:ok, stream}
      :error -> not_forwarded(stream)
    end
  end

  # Nil if there is no such supervisor: the application does not run on that node.
  defp start_forwarding(supervisor, stream, receiver) do
    case Task.Supervisor.start_child(supervisor, __MODULE__, :forward, [stream, receiver]) do
      {:ok, _pid} -> {:ok, stream}
      _not_started -> nil
    end
  catch
    :exit, _reason -> nil
  end

  # The caller gets an error and no stream, so the stream is cancelled here.
  defp not_forwarded(stream) do
    cancel(stream)
    {:error, Locator.down(stream.instance, :noproc)}
  end

  @doc false
  @spec forward(t(), pid()) :: :ok
  def forward(stream, receiver) do
    # When the instance stops, the connection ends before this process, and its end becomes the last
    # message. Trapping exits gives this process time to send it.
    Process.flag(:trap_exit, true)
    # Only here: a caller's process has metadata of its own.
    Logger.metadata(vllm_request_id: stream.request_id)

    # The connection also monitors the receiver. If the receiver ends, the stream is cancelled.
    deliver = fn item, pace ->
      pace = hold_back(receiver, pace)
      send(receiver, {:vllm, stream, {:item, item}})
      {:cont, pace}
    end

    # The report of a task that crashes would show an item in its stack trace.
    run = fn -> reduce(stream, {:cont, :patient}, deliver, receiver) end

    last =
      case RedactedServer.guarded(__MODULE__, run) do
        {:done, _acc} -> :done
        {:error, error} -> {:error, error}
      end

    send(receiver, {:vllm, stream, last})
    :ok
  end

  # After the supervisor has told this process to stop, nothing is held back.
  defp hold_back(_receiver, :hurried), do: :hurried

  # The mailbox of a process on another node cannot be inspected.
  defp hold_back(receiver, pace) when node(receiver) != node(), do: pace

  defp hold_back(receiver, pace) do
    case Process.info(receiver, :message_queue_len) do
      {:message_queue_len, length} when length > @max_mailbox ->
        receive do
          {:EXIT, _supervisor, _reason} -> :hurried
        after
          @mailbox_interval -> hold_back(receiver, pace)
        end

      _short_or_gone ->
        pace
    end
  end

  ## Enumeration

  @doc false
  # As Enumerable.reduce/3, but returns a failure. `owner` is the process that the items are for.
  @spec reduce(t(), Enumerable.acc(), Enumerable.reducer(), pid()) ::
          Enumerable.result() | {:error, Error.t()}
  def reduce(stream, acc, fun, owner \\ self())

  def reduce(stream, {:suspend, acc}, fun, owner),
    do: {:suspended, acc, &reduce(stream, &1, fun, owner)}

  def reduce(stream, {:halt, acc}, _fun, _owner) do
    cancel(stream)
    {:halted, acc}
  end

  def reduce(%__MODULE__{} = stream, {:cont, acc}, fun, owner) do
    with :ok <- check(stream), do: subscribe(stream, acc, fun, owner)
  end

  defp subscribe(stream, acc, fun, owner) do
    subscription =
      Consumer.attach(
        stream.source,
        stream.instance,
        stream.window,
        local_deadline(stream.deadline),
        owner
      )

    meter = Meter.start(local(stream.sent), metadata(stream))
    next(subscription, OutputPatch.new(), nil, meter, {:cont, acc}, fun)
  end

  # `last` is the item before, from which the meter reads at the end how many tokens there were.
  defp next(subscription, patch, last, meter, {:halt, acc}, _fun) do
    Consumer.close(subscription)
    Meter.stop(meter, :halted, OutputPatch.completed(last, patch))
    {:halted, acc}
  end

  defp next(subscription, patch, last, meter, {:suspend, acc}, fun) do
    {:suspended, acc, &next(subscription, patch, last, meter, &1, fun)}
  end

  defp next(%{instance: instance} = subscription, patch, last, meter, {:cont, acc}, fun) do
    case Consumer.next(subscription) do
      {:item, payload, receipt, subscription} ->
        case OutputPatch.apply(payload, patch, instance) do
          {:ok, item, patch} ->
            Consumer.confirm(subscription, receipt)
            Meter.item(meter)
            command = reduced(item, acc, fun, subscription, meter)
            next(subscription, patch, meter && item, meter, command, fun)

          {:error, error} ->
            Consumer.close(subscription)
            Meter.stop(meter, error)
            {:error, error}
        end

      :done ->
        Meter.stop(meter, :ok, OutputPatch.completed(last, patch))
        {:done, acc}

      {:error, error} ->
        Meter.stop(meter, error)
        {:error, error}
    end
  end

  defp reduced(item, acc, fun, subscription, meter) do
    fun.(item, acc)
  catch
    kind, reason ->
      Consumer.close(subscription)
      Meter.exception(meter, kind, reason, __STACKTRACE__)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp metadata(%{instance: {name, _node}} = stream) do
    %{
      instance: name,
      class: stream.class,
      method: stream.method,
      request_id: stream.request_id,
      ref: stream.ref
    }
  end

  defp local({node, time}) when node == node(), do: time
  defp local(_unknown), do: nil

  defp local_deadline({node, deadline}) when node == node(), do: deadline
  defp local_deadline(_none), do: :infinity

  defimpl Enumerable do
    def reduce(stream, acc, fun), do: stream |> Vllm.Stream.reduce(acc, fun) |> raising()

    # After a suspension, a failure occurs in the continuation.
    defp raising({:suspended, acc, continue}),
      do: {:suspended, acc, fn command -> command |> continue.() |> raising() end}

    defp raising({:error, error}), do: raise(error)
    defp raising(result), do: result

    def count(_stream), do: {:error, __MODULE__}
    def member?(_stream, _item), do: {:error, __MODULE__}
    def slice(_stream), do: {:error, __MODULE__}
  end

  defimpl Inspect do
    # Whose items, of which request, and where; makes no call.
    def inspect(%{instance: {name, _node}} = stream, _opts) do
      request = if is_binary(stream.request_id), do: " #{Kernel.inspect(stream.request_id)}"

      "#Vllm.Stream<#{text(stream.class)}.#{text(stream.method)}#{request} @#{Kernel.inspect(name)}>"
    end

    def inspect(_stream, _opts), do: "#Vllm.Stream<invalid>"

    # The fields of one that a program has made may be anything.
    defp text(text) when is_binary(text), do: text
    defp text(other), do: Kernel.inspect(other)
  end
end
