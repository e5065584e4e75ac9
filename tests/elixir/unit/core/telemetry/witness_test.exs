defmodule Vllm.Core.Telemetry.WitnessTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  alias Vllm.Core.Telemetry.Witness

  describe "the end is emitted once, whatever ends the process:" do
    setup do: telemetry()

    setup context do
      FakeWorker.answer(context.fake, 1, accepted())
      {:ok, stream} = Vllm.AsyncLLM.generate(context.ref, "prompt", [], "req-7")
      assert_call(1)
      events()
      %{stream: stream}
    end

    # A process that has received the first item and is watched.
    defp consumer(fake, fun) do
      {pid, monitor} = spawn_monitor(fun)
      FakeWorker.reply(fake, 1, item(1))
      assert_receive {:event, [:vllm, :stream, :first_item], _, _, ^pid}
      wait_until(fn -> watched?(pid) end)
      {pid, monitor}
    end

    # Before it is watched, the exit reason of a process would be lost. `true` if it has ended by itself.
    defp watched?(pid) do
      case Process.info(pid, :monitored_by) do
        {:monitored_by, pids} -> Process.whereis(Witness) in pids
        nil -> true
      end
    end

    defp stuck(_item), do: Process.sleep(:infinity)

    # The events of a stream after its first item, when every process that could emit one has ended.
    defp ends({_pid, monitor}) do
      assert_receive {:DOWN, ^monitor, :process, _pid, _reason}
      wait_until(fn -> :sys.get_state(Witness) == %Witness{} end)
      events([:vllm, :stream]) |> Enum.reject(&match?({[_, _, :start], _, _, _}, &1))
    end

    for {signal, reason} <- [kill: :killed, shutdown: :shutdown, gone: :gone] do
      test "#{signal}", %{fake: fake, stream: stream} do
        consumer = {pid, _} = consumer(fake, fn -> Enum.each(stream, &stuck/1) end)
        Process.exit(pid, unquote(signal))
        assert [{[:vllm, :stream, :exception], measurements, metadata, emitter}] = ends(consumer)
        assert %{items: 1, time_to_first_item: first, duration: duration} = measurements
        assert 0 < first and first <= duration
        assert %{request_id: "req-7", kind: :exit, reason: unquote(reason)} = metadata
        assert metadata.stacktrace == []
        assert emitter == Process.whereis(Witness)
      end
    end

    test "an exception in a linked process, without the arguments in its stack trace", context do
      %{fake: fake, stream: stream} = context
      consumer = {pid, _} = consumer(fake, fn -> Enum.each(stream, &stuck/1) end)
      where = [{String, :length, ["a secret prompt"], []}, {String, :trim, 1, []}]
      Process.exit(pid, {%RuntimeError{}, where})
      assert [{[:vllm, :stream, :exception], _, metadata, _}] = ends(consumer)
      assert %{kind: :exit, reason: %RuntimeError{}, stacktrace: [inner, _]} = metadata
      assert inner == {String, :length, 1, []}
    end

    @tag :capture_log
    test "an exception of its own, which it emits itself", %{fake: fake, stream: stream} do
      consumer = {pid, _} = consumer(fake, fn -> Enum.each(stream, fn _ -> raise "oops" end) end)
      assert [{[:vllm, :stream, :exception], _, metadata, ^pid}] = ends(consumer)
      assert %{kind: :error, reason: %RuntimeError{message: "oops"}} = metadata
    end

    test "its end after it has emitted the end of the stream", %{fake: fake, stream: stream} do
      consumer = {pid, _} = consumer(fake, fn -> Enum.take(stream, 1) end)
      assert [{[:vllm, :stream, :stop], %{items: 1}, %{result: :halted}, ^pid}] = ends(consumer)
    end

    test "its end with an enumeration that is never resumed", %{fake: fake, stream: stream} do
      suspend = fn _item, acc -> {:suspend, acc} end
      consumer = consumer(fake, fn -> Enumerable.reduce(stream, {:cont, nil}, suspend) end)
      assert [{[:vllm, :stream, :exception], %{items: 1}, metadata, _}] = ends(consumer)
      # It may have ended before anybody has looked.
      assert %{kind: :exit, reason: reason} = metadata
      assert reason in [:normal, :noproc]
    end

    test "a kill before it has read that the stream is over", %{fake: fake, stream: stream} do
      consumer = {pid, _} = consumer(fake, fn -> Enum.each(stream, &stuck/1) end)
      FakeWorker.reply(fake, 1, ended())
      wait_until(fn -> mailbox(pid) == 1 end)
      Process.exit(pid, :kill)
      assert [{[:vllm, :stream, :exception], _, %{reason: :killed}, _}] = ends(consumer)
    end

    test "a kill before it has read that the connection is lost", context do
      %{fake: fake, stream: stream} = context
      consumer = {pid, _} = consumer(fake, fn -> Enum.each(stream, &stuck/1) end)
      FakeWorker.close(fake)
      wait_until(fn -> mailbox(pid) >= 1 end)
      Process.exit(pid, :kill)
      assert [{[:vllm, :stream, :exception], _, %{reason: :killed}, _}] = ends(consumer)
    end

    test "a kill of the process that forwards", %{fake: fake, ref: ref} do
      FakeWorker.answer(fake, 2, [accepted(), item(1)])
      rpc = [stream_to: self()]
      {:ok, stream} = Vllm.AsyncLLM.generate(ref, "prompt", [], "req-8", rpc: rpc)
      assert_receive {:vllm, ^stream, {:item, 1}}
      assert_receive {:event, [:vllm, :stream, :start], _, _, forwarder}
      wait_until(fn -> watched?(forwarder) end)
      monitor = Process.monitor(forwarder)
      Process.exit(forwarder, :kill)
      ends = ends({forwarder, monitor})
      assert [{[:vllm, :stream, :exception], %{items: 1}, metadata, _}] = tl(ends)
      assert %{request_id: "req-8", reason: :killed} = metadata
    end

    test "a kill in the middle of a call", %{ref: ref} do
      {pid, monitor} = spawn_monitor(fn -> Vllm.call(ref, "sleep") end)
      assert_call(2)
      wait_until(fn -> watched?(pid) end)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, _pid, _reason}
      wait_until(fn -> :sys.get_state(Witness) == %Witness{} end)
      assert [_start, {[:vllm, :call, :exception], %{duration: _}, metadata, _}] = events()
      assert %{method: "sleep", kind: :exit, reason: :killed, stacktrace: []} = metadata
    end
  end
end
