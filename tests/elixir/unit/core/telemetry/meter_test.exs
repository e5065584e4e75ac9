defmodule Vllm.Core.Telemetry.MeterTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  alias Vllm.Stream
  alias Vllm.Core.Telemetry.{Emitter, Meter}

  describe "the enumeration of a stream" do
    setup do: telemetry()

    setup context do
      FakeWorker.answer(context.fake, 1, accepted())
      {:ok, stream} = Vllm.AsyncLLM.generate(context.ref, "prompt", [], "req-7")
      assert_call(1)
      %{stream: stream}
    end

    # Start and end, and what is between them, of the one stream.
    defp of_stream do
      assert [{[:vllm, :stream, :start], _, started, emitter} | rest] = events([:vllm, :stream])
      assert emitter == self()
      assert %{class: "AsyncLLM", method: "generate", request_id: "req-7"} = started
      {last, middle} = List.pop_at(rest, -1)
      {[:vllm, :stream, what], measurements, metadata, ^emitter} = last
      assert Map.take(metadata, Map.keys(started)) == started
      {what, measurements, metadata, Enum.map(middle, &elem(&1, 0))}
    end

    test "that reaches its end", %{fake: fake, stream: stream} do
      for n <- 1..3, do: FakeWorker.reply(fake, 1, item(n))
      FakeWorker.reply(fake, 1, ended())
      assert Enum.to_list(stream) == [1, 2, 3]
      assert {:stop, measurements, %{result: :ok}, [[:vllm, :stream, :first_item]]} = of_stream()
      assert %{items: 3, duration: duration, time_to_first_item: first} = measurements
      assert 0 < first and first <= duration
    end

    test "without items has no first item", %{fake: fake, stream: stream} do
      FakeWorker.reply(fake, 1, ended())
      assert Enum.to_list(stream) == []
      assert {:stop, %{items: 0} = measurements, %{result: :ok}, []} = of_stream()
      refute Map.has_key?(measurements, :time_to_first_item)
    end

    test "that is halted", %{fake: fake, stream: stream} do
      for n <- 1..3, do: FakeWorker.reply(fake, 1, item(n))
      assert Enum.take(stream, 2) == [1, 2]
      assert {:stop, %{items: 2}, %{result: :halted}, [_first]} = of_stream()
    end

    test "that is suspended and then halted", %{fake: fake, stream: stream} do
      for n <- 1..3, do: FakeWorker.reply(fake, 1, item(n))
      assert Enum.zip(stream, [:a]) == [{1, :a}]
      assert {:stop, _measurements, %{result: :halted}, [_first]} = of_stream()
    end

    test "that is cancelled", %{fake: fake, stream: stream} do
      FakeWorker.reply(fake, 1, item(1))
      enumerated = Enum.reduce_while(stream, 0, fn _, n -> {:cont, cancel(stream, n)} end)
      flunk("it went on: #{enumerated}")
    rescue
      error in Error ->
        assert error.kind == :cancelled
        assert {:stop, %{items: 1}, %{result: :cancelled}, [_first]} = of_stream()
    end

    test "that fails", %{fake: fake, stream: stream} do
      FakeWorker.reply(fake, 1, item(1))
      FakeWorker.reply(fake, 1, {:failure, %Failure{kind: :engine_dead, message: "gone"}})
      assert {:error, %Error{kind: :engine_dead}} = Stream.collect(stream)
      assert {:stop, %{items: 1}, %{result: :engine_dead}, [_first]} = of_stream()
    end

    test "whose consumer raises", %{fake: fake, stream: stream} do
      FakeWorker.reply(fake, 1, item(1))
      assert_raise RuntimeError, fn -> Enum.each(stream, fn _ -> raise "oops" end) end
      assert {:exception, %{items: 1}, %{reason: %RuntimeError{}}, [_first]} = of_stream()
    end

    test "of one that was enumerated before", %{fake: fake, stream: stream} do
      FakeWorker.reply(fake, 1, ended())
      assert Enum.to_list(stream) == []
      events()
      assert {:error, %Error{kind: :conflict}} = Stream.collect(stream)
      assert {:stop, %{items: 0}, %{result: :conflict}, []} = of_stream()
    end

    test "with stream_to: is emitted by the forwarding process, with the request's id", context do
      %{fake: fake, ref: ref} = context
      FakeWorker.answer(fake, 2, accepted())
      rpc = [stream_to: self()]
      {:ok, stream} = Vllm.AsyncLLM.generate(ref, "prompt", [], "req-8", rpc: rpc)
      FakeWorker.reply(fake, 2, item(1))
      assert_receive {:vllm, ^stream, {:item, 1}}
      assert_receive {:event, [:vllm, :stream, :start], _, %{request_id: "req-8"}, forwarder}
      assert forwarder != self()
      assert logger_metadata(forwarder) == %{vllm_request_id: "req-8"}
      assert Logger.metadata() == []
      FakeWorker.reply(fake, 2, ended())
      assert_receive {:vllm, ^stream, :done}
      assert_receive {:event, [:vllm, :stream, :stop], _, %{result: :ok}, ^forwarder}
    end

    test "that is not over at its deadline ends with :timeout", %{stream: stream} do
      assert {:error, %Error{kind: :timeout}} = Stream.collect(overdue(stream))
      assert {:stop, %{items: 0}, %{result: :timeout}, []} = of_stream()
    end

    test "that is lost with the connection", %{fake: fake, stream: stream} do
      FakeWorker.reply(fake, 1, item(1))
      assert_raise Error, fn -> Enum.each(stream, fn _ -> FakeWorker.close(fake) end) end
      assert {:stop, %{items: 1}, %{result: :worker_down}, [_first]} = of_stream()
    end

    defp cancel(stream, n) do
      Stream.cancel(stream)
      n + 1
    end

    defp logger_metadata(pid) do
      {:dictionary, dictionary} = Process.info(pid, :dictionary)
      dictionary[:"$logger_metadata$"]
    end
  end

  test "without telemetry an enumeration is not measured" do
    refute Emitter.loaded?()
    assert Meter.start(nil, %{}) == nil
    assert Meter.item(nil) == :ok
    assert Meter.stop(nil, :ok) == :ok
  end
end
