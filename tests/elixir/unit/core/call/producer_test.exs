defmodule Vllm.Core.Call.ProducerTest do
  # An argument that is an enumerable: what is sent, when, and how it ends, against a fake
  # worker whose frames the test sends.
  use Vllm.FakeWorkerCase, async: true

  import Vllm.Elements, only: [tracked: 1, gated: 1]

  alias Vllm.{Codec, StreamingInput}
  alias Vllm.Proto.{End, Input, InputWanted, InputsClosed}

  # The mark of a stream: extension 15 of the value table around an empty array.
  @mark <<0xD4, 15, 0x90>>

  test "nothing is enumerated until the worker asks, and then one element", context do
    open(context, tracked(["a", "b"]))
    refute_received {:opened, _}
    want(context)
    assert element(1) == "a"
    assert_received {:opened, producer}
    assert_received {:made, "a"}
    assert producer != self()
    # It answers in order: what it would do by itself is done.
    Process.info(producer)
    refute_received {:made, "b"}
    want(context)
    assert element(1) == "b"
    want(context)
    assert input(1) == {:end, %End{}}
    assert_received {:closed, ^producer}
    assert_ended(producer)
  end

  test "a list of inputs is an enumerable", context do
    open(context, [%StreamingInput{prompt: "a"}, %StreamingInput{prompt: "b"}])
    want(context)
    assert %StreamingInput{prompt: "a"} = element(1)
    want(context)
    assert %StreamingInput{prompt: "b"} = element(1)
    want(context)
    assert input(1) == {:end, %End{}}
  end

  test "the enumerating process has the caller's $callers", context do
    test = self()
    callers = fn -> send(test, {:callers, Process.get(:"$callers")}) end
    open(context, Stream.repeatedly(callers))
    want(context)
    assert_receive {:callers, [^test | _]}
  end

  for {kind, code, text} <- [
        {:raise, quote(do: raise("boom")), "raised ** (RuntimeError) boom"},
        {:throw, quote(do: throw(:ball)), "threw ** (throw) :ball"},
        {:exit, quote(do: exit(:tired)), "exited with ** (exit) :tired"}
      ] do
    test "#{kind} in the enumerable is reported to the worker", context do
      elements = tracked(["a"]) |> Stream.concat(Stream.map([1], fn _ -> unquote(code) end))
      open(context, elements)
      want(context)
      assert element(1) == "a"
      want(context)
      assert {:failure, %Failure{kind: :invalid} = failure} = input(1)
      assert failure.message == "the prompt's enumerable " <> unquote(text)
      assert failure.traceback =~ "producer_test.exs"
      assert_receive {:closed, producer}
      assert_ended(producer)
    end
  end

  test "a failure of an enumerable that is halted is logged, without its elements", context do
    test = self()

    close = fn _left ->
      send(test, {:closing, self()})
      raise "quoted-element"
    end

    elements = Stream.resource(fn -> :ok end, &{["quoted-element"], &1}, close)

    log =
      ExUnit.CaptureLog.capture_log(fn ->
        open(context, elements)
        want(context)
        assert element(1) == "quoted-element"
        FakeWorker.reply(context.fake, 1, {:inputs_closed, %InputsClosed{}})
        assert_receive {:closing, producer}
        assert_ended(producer)
      end)

    assert log =~ "a prompt's enumerable, when it was halted, failed with RuntimeError"
    refute log =~ "quoted-element"
  end

  test "an element that cannot be sent is refused with its index", context do
    open(context, tracked(["a", %{"prompt" => self()}]))
    want(context)
    assert element(1) == "a"
    want(context)
    assert {:failure, %Failure{kind: :invalid} = failure} = input(1)
    assert failure.message =~ ~s(prompt[1]["prompt"]: a pid cannot be sent)
    assert {:ok, %{"path" => ~s(prompt[1]["prompt"])}} = Codec.decode(failure.details, nil)
    assert_receive {:closed, _}
  end

  describe "the enumeration is halted" do
    setup context do
      stream = open(context, tracked(["a", "b"]))
      want(context)
      assert element(1) == "a"
      assert_receive {:opened, producer}
      %{stream: stream, producer: producer}
    end

    test "when the worker needs no more elements", %{fake: fake, producer: producer} do
      FakeWorker.reply(fake, 1, {:inputs_closed, %InputsClosed{}})
      assert_receive {:closed, ^producer}
      assert_ended(producer)
    end

    test "when the stream is cancelled", %{stream: stream, producer: producer} do
      Vllm.Stream.cancel(stream)
      assert_receive {:closed, ^producer}
      assert_receive {:client, %ClientFrame{cancels: [1]}}
    end

    test "when the outputs are halted", %{fake: fake, stream: stream, producer: producer} do
      FakeWorker.reply(fake, 1, item("x"))
      assert Enum.take(stream, 1) == ["x"]
      assert_receive {:closed, ^producer}
    end

    test "when the connection is lost", %{fake: fake, producer: producer} do
      ExUnit.CaptureLog.capture_log(fn ->
        FakeWorker.close(fake)
        assert_receive {:closed, ^producer}
      end)
    end

    test "also while the worker waits for the next element", %{producer: producer} = context do
      # The process is busy with an element that will not be used.
      want(context)
      FakeWorker.reply(context.fake, 1, {:inputs_closed, %InputsClosed{}})
      assert_receive {:closed, ^producer}
    end
  end

  test "it ends when the consumer ends", context do
    test = self()

    {consumer, monitor} =
      spawn_monitor(fn ->
        stream = open(context, tracked(["a"], test))
        send(test, :open)
        Enum.each(stream, fn _ -> :ok end)
      end)

    assert_receive :open
    want(context)
    assert_receive {:opened, producer}
    Process.exit(consumer, :kill)
    assert_receive {:DOWN, ^monitor, :process, _, :killed}
    assert_receive {:closed, ^producer}
  end

  test "it does not end when the caller ends after the call", context do
    test = self()

    # Another process consumes.
    {caller, monitor} =
      spawn_monitor(fn ->
        send(test, {:stream, open(context, tracked(["a", "b"], test))})

        receive do
          :end -> :ok
        end
      end)

    assert_receive {:stream, stream}
    task = Task.async(fn -> Enum.to_list(stream) end)
    FakeWorker.reply(context.fake, 1, item("x"))
    # The consumer gives credit or not, but it has attached when the connection answers.
    wait_until(fn -> attached?(context) end)
    send(caller, :end)
    assert_receive {:DOWN, ^monitor, :process, _, :normal}
    want(context)
    assert element(1) == "a"
    FakeWorker.reply(context.fake, 1, ended())
    FakeWorker.reply(context.fake, 1, {:inputs_closed, %InputsClosed{}})
    assert Task.await(task, :infinity) == ["x"]
    assert_receive {:closed, _}
  end

  test "a call that is refused does not enumerate", %{fake: fake, ref: ref} do
    before = Vllm.Elements.producers()
    FakeWorker.answer(fake, 1, {:failure, %Failure{kind: :invalid, message: "no"}})

    assert {:error, %Error{kind: :invalid, message: "no"}} =
             Vllm.call(ref, "generate", [tracked(["a"])])

    refute_received {:opened, _}
    wait_until(fn -> own(Vllm.Elements.producers() -- before) == [] end)
  end

  test "the producer ends when the caller ends during the call", context do
    test = self()

    caller = spawn(fn -> Vllm.call(context.ref, "generate", [tracked(["a"], test)]) end)

    assert_call(1)
    assert [producer] = wait_for_producers(caller)
    Process.exit(caller, :kill)
    assert_ended(producer)
    refute_received {:opened, _}
  end

  test "the call fails when the enumerating process ends", context do
    open(context, gated(["a"]))
    want(context)
    assert_receive {:at_gate, producer, "a"}
    Process.exit(producer, :kill)
    assert {:failure, %Failure{kind: :cancelled, message: message}} = input(1)
    assert message == "the process that enumerates the prompt ended: killed"
  end

  test "the call fails when an element is requested after that process has ended", context do
    elements = [%StreamingInput{prompt: "a"}, %StreamingInput{prompt: self()}]
    open(context, elements)
    want(context)
    assert %StreamingInput{prompt: "a"} = element(1)
    want(context)
    assert {:failure, %Failure{kind: :invalid}} = input(1)
    wait_until(fn -> :sys.get_state(connection(context.instance)).producers.calls == %{} end)
    # As if the worker had not heard of that: it is not left waiting.
    want(context)
    assert {:failure, %Failure{kind: :cancelled, message: message}} = input(1)
    assert message == "the process that enumerates the prompt has ended"
  end

  test "a producer that does not end in time is killed", %{instance: instance} = context do
    open(context, gated(["a"]))
    want(context)
    assert_receive {:at_gate, producer, "a"}
    monitor = Process.monitor(producer)
    FakeWorker.reply(context.fake, 1, {:inputs_closed, %InputsClosed{}})
    # What comes to the connection after its patience.
    send(connection(instance), {:overdue, producer})
    assert_receive {:DOWN, ^monitor, :process, _, :shutdown}
  end

  test "the stream that a call returned goes on reading", %{fake: fake, ref: ref} = context do
    FakeWorker.answer(fake, 1, ref_value("o1"))
    assert {:ok, %Ref{}} = Vllm.call(ref, "add_request", ["id", tracked(["a"]), %{}])
    assert_call(1)
    want(context)
    assert element(1) == "a"
    FakeWorker.reply(fake, 1, {:inputs_closed, %InputsClosed{}})
    assert_receive {:closed, _}
  end

  test "an ordinary call has no mark and starts no process", %{fake: fake, ref: ref} do
    FakeWorker.answer(fake, 1, value(nil))
    before = Vllm.Elements.producers()
    assert {:ok, nil} = Vllm.call(ref, "echo", [["a", %{}]])
    assert own(Vllm.Elements.producers() -- before) == []
    refute :binary.match(assert_call(1).request.args, @mark) != :nomatch
  end

  # The stream of the first call.
  defp open(%{fake: fake, ref: ref}, enumerable) do
    FakeWorker.answer(fake, 1, accepted())
    {:ok, stream} = Vllm.call(ref, "generate", [enumerable])
    stream
  end

  defp want(%{fake: fake}), do: FakeWorker.reply(fake, 1, {:input_wanted, %InputWanted{}})

  # The next step that is sent for a call.
  defp input(id) do
    assert_receive {:client, %ClientFrame{inputs: [%Input{call: ^id, step: step}]}}
    step
  end

  defp element(id) do
    assert {:element, bytes} = input(id)
    assert {:ok, element} = Codec.decode(bytes, nil)
    element
  end

  defp tracked(elements, test), do: Vllm.Elements.tracked(elements, test)

  defp assert_ended(producer) do
    monitor = Process.monitor(producer)
    assert_receive {:DOWN, ^monitor, :process, _, reason}
    assert reason in [:normal, :noproc]
  end

  # Other tests run at the same time.
  defp own(producers, caller \\ self()) do
    for pid <- producers,
        {:dictionary, dictionary} <- [Process.info(pid, :dictionary)],
        caller in Keyword.get(dictionary, :"$callers", []),
        do: pid
  end

  defp wait_for_producers(caller) do
    case own(Vllm.Elements.producers(), caller) do
      [] -> wait_for_producers(caller)
      producers -> producers
    end
  end

  defp attached?(%{instance: instance}) do
    state = :sys.get_state(connection(instance))
    match?(%{1 => %{phase: :flowing}}, state.routes.calls)
  end

  test "the text of a failure is one that a frame takes" do
    assert Vllm.Core.Call.Producer.text("fine é") == "fine é"
    assert Vllm.Core.Call.Producer.text(<<"a", 255, "b">>) == "a\uFFFDb"
    text = Vllm.Core.Call.Producer.text(String.duplicate("é", 1_000_000))
    assert String.valid?(text) and byte_size(text) < 20_000
    assert text =~ "(2000000 bytes)"
  end
end
