defmodule Vllm.TelemetryTest do
  # Defines the modules :telemetry and :otel_propagator_text_map for as long as it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  alias Vllm.{Codec, Stream, Telemetry}
  alias Vllm.Core.Instance.Metrics
  alias Vllm.Core.Telemetry.{CallSpan, Emitter, Meter, Trace, Witness}

  @metadata %{instance: X, class: "AsyncLLM", method: "sleep"}

  defp decoded(bytes) do
    {:ok, term} = Codec.decode(bytes, {X, node()})
    term
  end

  describe "a call" do
    @describetag connect: false

    setup do: telemetry()

    test "starts and stops once" do
      assert CallSpan.run(@metadata, fn -> {:ok, 1} end) == {:ok, 1}
      assert [{[:vllm, :call, :start], %{system_time: _}, @metadata, _}, stop] = events()
      assert {[:vllm, :call, :stop], %{duration: duration}, %{result: :ok, class: _}, _} = stop
      assert duration >= 0
    end

    test "that returns an error has that for its result" do
      CallSpan.run(@metadata, fn -> {:error, Error.new(:timeout, "late")} end)
      assert [_start, {[:vllm, :call, :stop], _, %{result: :timeout}, _}] = events()
    end

    test "that raises ends with it" do
      assert_raise RuntimeError, fn -> CallSpan.run(@metadata, fn -> raise "oops" end) end
      assert [_start, {[:vllm, :call, :exception], _, metadata, _}] = events()
      assert %{kind: :error, reason: %RuntimeError{}} = metadata
    end

    test "tells no arguments of the function that raised" do
      wrong = "a secret prompt"
      # Not by its name, or the compiler would say that it fails.
      failing = fn -> apply(Keyword, :fetch!, [wrong, :key]) end
      assert_raise FunctionClauseError, fn -> CallSpan.run(@metadata, failing) end
      assert [_start, {_event, _, metadata, _}] = events()
      assert {Keyword, :fetch!, 2, _} = hd(metadata.stacktrace)
      refute inspect(metadata, limit: :infinity) =~ "secret"
    end
  end

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

    test "that comes to its end", %{fake: fake, stream: stream} do
      for n <- 1..3, do: FakeWorker.reply(fake, 1, item(n))
      FakeWorker.reply(fake, 1, ended())
      assert Enum.to_list(stream) == [1, 2, 3]
      assert {:stop, measurements, %{result: :ok}, [[:vllm, :stream, :first_item]]} = of_stream()
      assert %{items: 3, duration: duration, time_to_first_item: first} = measurements
      assert 0 < first and first <= duration
    end

    test "without an item has no first", %{fake: fake, stream: stream} do
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

    test "by stream_to: is that of the forwarding process, which knows the request", context do
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

    test "that is not over at its deadline", %{stream: stream} do
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

  describe "an end comes once, whatever ends the process:" do
    setup do: telemetry()

    setup context do
      FakeWorker.answer(context.fake, 1, accepted())
      {:ok, stream} = Vllm.AsyncLLM.generate(context.ref, "prompt", [], "req-7")
      assert_call(1)
      events()
      %{stream: stream}
    end

    # A process that has the first item, and of which it is known that it has begun.
    defp consumer(fake, fun) do
      {pid, monitor} = spawn_monitor(fun)
      FakeWorker.reply(fake, 1, item(1))
      assert_receive {:event, [:vllm, :stream, :first_item], _, _, ^pid}
      wait_until(fn -> watched?(pid) end)
      {pid, monitor}
    end

    # Before that, nobody could say what a process has ended with. One that has ended is not killed.
    defp watched?(pid) do
      case Process.info(pid, :monitored_by) do
        {:monitored_by, pids} -> Process.whereis(Witness) in pids
        nil -> true
      end
    end

    defp stuck(_item), do: Process.sleep(:infinity)

    # The events of a stream after its first item, when everybody has ended who could tell.
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

    test "a raise of somebody it is linked with, of which no arguments are told", context do
      %{fake: fake, stream: stream} = context
      consumer = {pid, _} = consumer(fake, fn -> Enum.each(stream, &stuck/1) end)
      where = [{String, :length, ["a secret prompt"], []}, {String, :trim, 1, []}]
      Process.exit(pid, {%RuntimeError{}, where})
      assert [{[:vllm, :stream, :exception], _, metadata, _}] = ends(consumer)
      assert %{kind: :exit, reason: %RuntimeError{}, stacktrace: [inner, _]} = metadata
      assert inner == {String, :length, 1, []}
    end

    @tag :capture_log
    test "a raise of its own, which it tells itself", %{fake: fake, stream: stream} do
      consumer = {pid, _} = consumer(fake, fn -> Enum.each(stream, fn _ -> raise "oops" end) end)
      assert [{[:vllm, :stream, :exception], _, metadata, ^pid}] = ends(consumer)
      assert %{kind: :error, reason: %RuntimeError{message: "oops"}} = metadata
    end

    test "its end, after it has told the stream's", %{fake: fake, stream: stream} do
      consumer = {pid, _} = consumer(fake, fn -> Enum.take(stream, 1) end)
      assert [{[:vllm, :stream, :stop], %{items: 1}, %{result: :halted}, ^pid}] = ends(consumer)
    end

    test "its end, with an enumeration that nobody resumes", %{fake: fake, stream: stream} do
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

  test "without telemetry an enumeration is not measured" do
    refute Emitter.loaded?()
    assert Meter.start(nil, %{}) == nil
    assert Meter.item(nil) == :ok
    assert Meter.stop(nil, :ok) == :ok
  end

  describe "a session" do
    setup do: telemetry()

    @tag connect: false
    test "goes up and down once", %{fake: fake} = context do
      connect(context)
      up = [:vllm, :connection, :up]
      assert [{^up, %{duration: _}, metadata, connection}] = events([:vllm, :connection])
      assert %{instance: instance, vllm_version: "9.9.9", incarnation: _} = metadata
      assert instance == context.name
      monitor = Process.monitor(connection)
      Process.unlink(fake.pid)
      Process.exit(fake.pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, _, _}

      assert [{[:vllm, :connection, :down], %{calls: 0}, down, ^connection}] =
               events([:vllm, :connection, :down])

      assert %Error{kind: :worker_down} = down.error
    end

    test "that is stopped has no error", %{name: name} do
      stop_supervised!(name)

      assert [{_event, _measurements, %{error: nil}, _connection}] =
               events([:vllm, :connection, :down])
    end
  end

  test "an engine that nobody has declared is told to be down", %{fake: fake} do
    telemetry()
    died = %Vllm.Proto.EngineDied{ref: "r9", failure: %Failure{message: "killed"}}
    notice = %Vllm.Proto.Notice{event: {:engine_died, died}}
    FakeWorker.send_frame(fake, %ServerFrame{notices: [notice]})
    assert_receive {:event, [:vllm, :engine, :down], %{}, metadata, _}
    assert %{engine: nil, reason: "killed", ref: %Ref{id: "r9", type: "AsyncLLM"}} = metadata
  end

  describe "what engines count" do
    @numbers %{"generation_tokens" => 12, "kv_cache_usage" => 0.5, "of_tomorrow" => 1}
    @engine %{
      "ref" => "r1",
      "incarnation" => FakeWorker.incarnation(),
      "model" => "llama",
      "unfinished_requests" => 3
    }

    test "is read by its names", %{fake: fake, name: name, ref: ref} do
      silent = Map.merge(@engine, %{"ref" => "r2", "metrics" => nil})
      FakeWorker.answer(fake, 1, value([Map.put(@engine, "metrics", @numbers), silent]))
      assert {:ok, [first, second]} = Vllm.metrics(name)
      assert_call(1)
      assert %{engine: nil, ref: ^ref, model: "llama"} = first

      assert first.metrics ==
               %{generation_tokens: 12, kv_cache_usage: 0.5, requests_unfinished: 3}

      assert second.metrics == nil
    end

    test "has an error where there is none to ask" do
      assert {:error, %Error{kind: :worker_down}} = Vllm.metrics(Nowhere.Vllm)
    end

    test "has the worker's names" do
      source = File.read!("python_worker/metrics.py")
      names = for [_, name] <- Regex.scan(~r/^    "(\w+)": /m, source), do: name
      ours = Enum.map(Keyword.keys(Telemetry.numbers()), &to_string/1)
      assert Enum.sort(["requests_unfinished" | names]) == Enum.sort(ours)
    end

    test "is emitted again and again, and a worker that says no is asked again", context do
      %{fake: fake, name: name} = context
      telemetry()
      numbers = Map.new(Telemetry.numbers(), fn {number, _} -> {to_string(number), 1} end)
      FakeWorker.answer(fake, 1, {:failure, %Failure{kind: :python, message: "no"}})
      FakeWorker.answer(fake, 2, value([Map.put(@engine, "metrics", numbers)]))
      start_supervised!({Metrics, {name, 1}})
      assert_receive {:event, [:vllm, :engine, :metrics], metrics, metadata, emitter}
      assert_documented([:vllm, :engine, :metrics], metrics, metadata)
      assert %{instance: ^name, engine: nil, model: "llama", ref: %Ref{id: "r1"}} = metadata
      assert metrics.generation_tokens == 1
      assert emitter not in [self(), Process.whereis(Module.concat(name, "Metrics"))]
      assert_receive {:event, [:vllm, :instance, :metrics], load, metadata, _}
      assert_documented([:vllm, :instance, :metrics], load, metadata)
    end

    test "is not asked for without telemetry, or without an interval", context do
      start_supervised!({Metrics, {context.name, 1}})
      FakeWorker.answer(context.fake, 1, value(nil))
      # The clock ticks before the call goes out, and would have asked first.
      poller = Process.whereis(Module.concat(context.name, "Metrics"))
      send(poller, :tick)
      :sys.get_state(poller)
      assert Vllm.call(context.ref, "sleep") == {:ok, nil}
      assert assert_call(1).request.method == "sleep"
    end
  end

  describe "the trace of the calling process" do
    @headers [{"traceparent", "00-1-2-01"}, {"tracestate", "a=b"}]

    defp sent(context, method, args, opts \\ []) do
      Process.put(:headers, [{"baggage", "user=secret"} | @headers])
      FakeWorker.answer(context.fake, 1, value(nil))
      Vllm.call(context.ref, method, args, opts)
      kwargs = assert_call(1).request.kwargs
      if kwargs == "", do: nil, else: decoded(kwargs)["trace_headers"]
    end

    test "goes with every request", context do
      open_telemetry()
      assert sent(context, "generate", ["prompt", [], "r"]) == Map.new(@headers)
    end

    test "goes with one that is added or encoded", context do
      open_telemetry()
      assert sent(context, "add_request", ["r", "prompt", []]) == Map.new(@headers)
      FakeWorker.answer(context.fake, 2, value(nil))
      Vllm.call(context.ref, "encode", ["prompt", [], "r"])
      assert decoded(assert_call(2).request.kwargs)["trace_headers"] == Map.new(@headers)
    end

    test "gives way to headers that are given", context do
      open_telemetry()
      own = %{"traceparent" => "mine"}
      assert sent(context, "generate", ["prompt", [], "r"], trace_headers: own) == own
    end

    test "gives way to headers that are given by position", context do
      open_telemetry()
      assert sent(context, "encode", ["prompt", [], "r", nil, %{"traceparent" => "x"}]) == nil
    end

    test "stays where it is with trace: false", context do
      open_telemetry()
      assert sent(context, "generate", ["prompt", [], "r"], rpc: [trace: false]) == nil
    end

    test "has no part in other calls", context do
      open_telemetry()
      assert sent(context, "sleep", []) == nil
    end

    test "is none outside of a trace, or without OpenTelemetry", context do
      assert Trace.headers() == nil
      assert sent(context, "generate", ["prompt", [], "r"]) == nil
      open_telemetry()
      Process.put(:headers, [{"baggage", "user=secret"}])
      assert Trace.headers() == nil
    end
  end

  describe "the documentation" do
    @describetag connect: false

    test "names every event" do
      {:docs_v1, _, _, _, %{"en" => moduledoc}, _, _} = Code.fetch_docs(Telemetry)
      guide = File.read!("elixir/guides/telemetry.md")

      for event <- Telemetry.events() do
        assert moduledoc =~ "### `#{inspect(event)}`"
        assert guide =~ "`#{inspect(event)}`", "the guide does not name #{inspect(event)}"
      end
    end

    test "has each event once" do
      assert Telemetry.events() == Enum.uniq(Telemetry.events())
    end

    test "has the metrics and tags of the guide's example" do
      guide = File.read!("elixir/guides/telemetry.md")
      examples = Regex.scan(~r/^ +(\w+)\("(vllm\.[\w.]+)",.* tags: \[([:\w, ]+)\]\)/m, guide)
      assert length(examples) > 10

      for [_, kind, metric, tags] <- examples do
        {event, [measurement]} = metric |> String.split(".") |> Enum.split(-1)
        event = Enum.map(event, &String.to_existing_atom/1)
        assert {_, _, measurements, metadata} = List.keyfind(Telemetry.table(), event, 0)
        {tags, []} = Code.eval_string("[#{tags}]")
        assert tags -- Keyword.keys(metadata) == []
        # What a counter counts is events.
        assert kind == "counter" or
                 String.to_existing_atom(measurement) in Keyword.keys(measurements)
      end
    end

    test "has every event that the sources spell out" do
      for path <- Path.wildcard("elixir/lib/**/*.ex"),
          [_, name] <- Regex.scan(~r/event\(\s*(\[:vllm(?:, :\w+)+\])/, File.read!(path)) do
        {event, []} = Code.eval_string(name)
        assert event in Telemetry.events(), "#{path} emits #{name}"
      end
    end
  end
end
