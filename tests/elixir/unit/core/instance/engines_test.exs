defmodule Vllm.Core.Instance.EnginesTest do
  # The declared engines of an instance whose other parts are the test: what comes in which order.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Vllm.FakeWorkerCase, only: [ref_value: 1]

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Instance.{Declared, Engines, Locator}

  # Another attempt would only repeat these.
  @permanent [:invalid, :not_found, :unsupported]

  setup %{test: name} = context do
    start_supervised!({Task.Supervisor, name: Locator.process_name(name, "Tasks")})
    # Calls come here, as `Vllm.Core.Call.Caller` sends them.
    Process.register(self(), Locator.process_name(name, "Connection"))
    kind = Map.get(context, :kind, :own)

    %{
      instance: {name, node()},
      engines: start_supervised!({Engines, {name, [it: [model: "m"]], kind, nil}})
    }
  end

  test "an engine that is reported dead before it is ready is rebuilt", context do
    %{test: name, instance: instance} = context
    building = assert_call("from_engine_args")
    # Whoever waits for it goes on waiting.
    waiting = Task.async(fn -> Vllm.engine(name, :it, 30_000) end)

    Engines.died(instance, %Ref{instance: instance, incarnation: "i", id: "e1"}, "killed")
    reply(building, ref_value("e1"))

    assert {_caller, %{target: {:ref, "e1"}}} = clearing = assert_call("shutdown")
    reply(clearing, {:error, Vllm.Error.new(:engine_dead, "killed")})
    reply(assert_call("from_engine_args"), ref_value("e2"))
    assert {:ok, %Ref{id: "e2"}} = Task.await(waiting, :infinity)
    assert {:ok, [it: {:ready, %Ref{id: "e2"}}]} = Declared.statuses(instance)
  end

  test "the death of another engine meanwhile does not rebuild it", context do
    %{test: name, instance: instance} = context
    building = assert_call("from_engine_args")
    Engines.died(instance, %Ref{instance: instance, incarnation: "i", id: "other"}, "killed")
    reply(building, ref_value("e1"))
    assert {:ok, %Ref{id: "e1"}} = Vllm.engine(name, :it, 30_000)
  end

  describe "an engine that did not start" do
    for kind <- Error.kinds() do
      again? = kind not in @permanent

      test "because of #{kind} is #{if again?, do: "tried again", else: "left alone"}", context do
        %{test: name, instance: instance, engines: engines} = context
        trace_timers(engines)
        error = Error.new(unquote(kind), "no luck")

        log =
          capture_log(fn ->
            fail_build(name, error)
            assert {:ok, [it: {:failed, ^error}]} = Declared.statuses(instance)
          end)

        assert log =~ "the engine :it did not start: no luck"

        if unquote(again?) do
          assert timers(engines) == [{{:retry, :it}, 1_000}]
          assert log =~ "next attempt in 1000 ms"
        else
          assert timers(engines) == []
          refute log =~ "next attempt"
        end
      end
    end

    test "is tried again after pauses that grow, until it starts", context do
      %{test: name, instance: instance, engines: engines} = context
      trace_timers(engines)

      for pause <- [1_000, 2_000, 4_000] do
        fail_build(name, Error.new(:engine_error, "no luck"))
        assert timers(engines) == [{{:retry, :it}, pause}]
        # The timer's message, before its time.
        send(engines, {:retry, :it})
        assert {:ok, [it: :building]} = Declared.statuses(instance)
      end

      reply(assert_call("from_engine_args"), ref_value("e1"))
      assert {:ok, %Ref{id: "e1"}} = Vllm.engine(name, :it, :infinity)
      assert timers(engines) == []
    end

    @tag kind: :shared
    test "because a worker that was started elsewhere is away is asked for soon", context do
      %{test: name, engines: engines} = context
      trace_timers(engines)
      # A session that is lost is no failure of the engine: the pause does not grow.
      for _ <- 1..3 do
        fail_build(name, Error.new(:worker_down, "away"), "declared")
        assert timers(engines) == [{{:retry, :it}, 200}]
        send(engines, {:retry, :it})
      end

      fail_build(name, Error.new(:engine_error, "no luck"), "declared")
      assert timers(engines) == [{{:retry, :it}, 1_000}]
    end
  end

  test "an engine that dies again is shut down, and rebuilt after a pause", context do
    %{test: name, instance: instance, engines: engines} = context
    trace_timers(engines)

    for {id, pauses} <- [{"e1", []}, {"e2", [{{:retry, :it}, 1_000}]}] do
      reply(assert_call("from_engine_args"), ref_value(id))
      assert {:ok, %Ref{id: ^id} = ref} = Vllm.engine(name, :it, :infinity)
      Engines.died(instance, ref, "killed")
      assert {_caller, %{target: {:ref, ^id}}} = clearing = assert_call("shutdown")
      reply(clearing, {:error, Error.new(:engine_dead, "killed")})
      assert timers(engines) == pauses
    end

    assert {:error, %Error{kind: :engine_dead, message: "killed"}} = Vllm.engine(name, :it)
    send(engines, {:retry, :it})
    reply(assert_call("from_engine_args"), ref_value("e3"))
    assert {:ok, %Ref{id: "e3"}} = Vllm.engine(name, :it, :infinity)
  end

  test "an instance that stops builds no engines, however they ended", context do
    %{test: name, instance: instance, engines: engines} = context
    trace_timers(engines)
    assert_call("from_engine_args")
    assert Declared.stop(instance) == :ok
    assert {:error, %Error{kind: :draining}} = Vllm.engine(name, :it)
    send(engines, {:retry, :it})
    assert {:ok, [it: {:failed, %Error{kind: :draining}}]} = Declared.statuses(instance)
    assert timers(engines) == []
    refute_received {:call, _caller, _pid, _request, _window, _producer}
  end

  defp fail_build(name, error, method \\ "from_engine_args") do
    building = assert_call(method)
    waiting = Task.async(fn -> Vllm.engine(name, :it, :infinity) end)
    reply(building, {:error, error})
    assert {:error, %Error{kind: kind}} = Task.await(waiting, :infinity)
    assert kind == error.kind
  end

  # The timers that a process sets, without waiting for them.
  defp trace_timers(pid) do
    :erlang.trace_pattern({:erlang, :send_after, :_}, true, [])
    1 = :erlang.trace(pid, true, [:call])
  end

  defp timers(pid) do
    delivered = :erlang.trace_delivered(pid)
    assert_receive {:trace_delivered, ^pid, ^delivered}
    traced(pid)
  end

  defp traced(pid) do
    receive do
      # Of Elixir's own, since 1.20: its messages are references.
      {:trace, ^pid, :call, {:erlang, :send_after, [_time, ^pid, message | _options]}}
      when is_reference(message) ->
        traced(pid)

      {:trace, ^pid, :call, {:erlang, :send_after, [time, ^pid, message | _options]}} ->
        [{message, time} | traced(pid)]
    after
      0 -> []
    end
  end

  defp assert_call(method) do
    assert_receive {:call, caller, _pid, %{method: ^method} = request, _window, _producer}
    {caller, request}
  end

  defp reply({caller, _request}, %{outcome: {:value, payload}}),
    do: send(caller, {caller, {:value, payload}})

  defp reply({caller, _request}, reply), do: send(caller, {caller, reply})
end
