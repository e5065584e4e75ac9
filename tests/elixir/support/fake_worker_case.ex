defmodule Vllm.FakeWorkerCase do
  @moduledoc false
  # Tests of the client against a `Vllm.FakeWorker`. Each test has its own worker and an instance
  # named after the test. `@tag fake: […]` are the worker's options; `@tag connect: false` leaves
  # starting the instance to the test.

  use ExUnit.CaseTemplate

  alias Vllm.{FakeWorker, Ref}
  alias Vllm.Proto.{Accepted, CallReply, ClientFrame, End, StartCall}

  using do
    quote do
      import Vllm.FakeWorkerCase
      alias Vllm.{Call, Error, FakeWorker, Ref}
      alias Vllm.Core.Connection
      alias Vllm.Proto.{ClientFrame, Failure, ServerFrame, StartCall}
    end
  end

  setup context do
    {:ok, fake} = FakeWorker.start_link(Map.get(context, :fake, []))
    ExUnit.Callbacks.on_exit(fn -> FakeWorker.cleanup(fake) end)
    started = %{fake: fake, name: context.test, instance: {context.test, node()}}
    if Map.get(context, :connect, true), do: connect(started), else: started
  end

  def connect(%{name: name, fake: fake, instance: instance} = context) do
    # A fake worker that has ended does not restart, and calls it has not answered stay unanswered.
    options = [name: name, connect: fake.address, start_timeout: 0, grace: 10]
    {:ok, _pid} = ExUnit.Callbacks.start_supervised({Vllm, options})
    assert_receive {:client, %ClientFrame{hello: %{}}}
    Map.put(context, :ref, ref(instance, "r1", "AsyncLLM"))
  end

  def ref(instance, id, type) do
    %Ref{instance: instance, incarnation: FakeWorker.incarnation(), id: id, type: type}
  end

  # Waits for a call and returns it; other calls may come before it.
  def assert_call(id) do
    assert_receive {:client, %ClientFrame{calls: [_ | _] = calls}}

    case Enum.split_with(calls, &(&1.id == id)) do
      {[%StartCall{} = call], others} ->
        if others != [], do: send(self(), {:client, %ClientFrame{calls: others}})
        call

      {[], others} ->
        call = assert_call(id)
        send(self(), {:client, %ClientFrame{calls: others}})
        call
    end
  end

  # The calling process becomes the owner of an object; uses up the call with this number.
  def own(%{fake: fake, ref: ref}, call_id, object_id) do
    FakeWorker.answer(fake, call_id, ref_value(object_id))
    {:ok, object} = Vllm.call(ref, "get_object")
    assert_call(call_id)
    object
  end

  # A stream that the worker has accepted.
  def open_stream(%{fake: fake, ref: ref}, call_id, rpc \\ []) do
    FakeWorker.answer(fake, call_id, accepted())
    {:ok, stream} = Vllm.call(ref, "generate", ["prompt"], rpc: rpc)
    assert_call(call_id)
    stream
  end

  # A stream whose deadline the worker has missed. It is not given one that is short: on a busy machine
  # its call might miss that.
  def overdue(stream),
    do: %{stream | deadline: {node(), System.monotonic_time(:millisecond) - 60_000}}

  def accepted, do: {:accepted, %Accepted{}}
  def ended, do: {:end, %End{}}
  def item(term), do: {:item, encoded(term)}
  def value(term), do: {:value, encoded(term)}

  # Replies that hold references. Several are in a list.
  def ref_value(id_or_ids, type \\ "Tokenizer"), do: with_references(:value, id_or_ids, type)
  def ref_item(id_or_ids, type \\ "Tokenizer"), do: with_references(:item, id_or_ids, type)
  def engine_value(id), do: %{ref_value(id, "AsyncLLM") | built: true}

  defp with_references(kind, ids, type) when is_list(ids) do
    payload = <<0x90 + length(ids)>> <> Enum.map_join(ids, &reference(&1, type))
    %CallReply{outcome: {kind, payload}, references: ids}
  end

  defp with_references(kind, id, type),
    do: %CallReply{outcome: {kind, reference(id, type)}, references: [id]}

  # Extension 10 of the value table: references only travel from the worker to us in this form.
  defp reference(id, type) do
    body = encoded([FakeWorker.incarnation(), id, type])
    <<0xC7, byte_size(body), 10, body::binary>>
  end

  def connection({name, _node}), do: Process.whereis(Module.concat(name, "Connection"))

  def mailbox(pid), do: Process.info(pid, :message_queue_len) |> elem(1)

  def wait_until(condition) do
    unless condition.() do
      receive do
      after
        1 -> wait_until(condition)
      end
    end
  end

  defp encoded(term) do
    {:ok, iodata} = Vllm.Codec.encode(term)
    IO.iodata_to_binary(iodata)
  end
end
