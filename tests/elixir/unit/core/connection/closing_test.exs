defmodule Vllm.Core.Connection.ClosingTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  alias Vllm.Core.Instance.LastFailure

  describe "a session" do
    setup do: telemetry()

    @tag connect: false
    test "is up once and down once, and its end is remembered", %{fake: fake} = context do
      before = System.monotonic_time()
      connect(context)
      up = [:vllm, :connection, :up]
      assert [{^up, %{duration: _}, metadata, connection}] = events([:vllm, :connection])
      assert %{instance: instance, vllm_version: "9.9.9", incarnation: _} = metadata
      assert instance == context.name
      monitor = Process.monitor(connection)
      Process.unlink(fake.pid)
      Process.exit(fake.pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, _, _}

      assert [{[:vllm, :connection, :down], %{calls: 0, duration: lasted}, down, ^connection}] =
               events([:vllm, :connection, :down])

      assert lasted in 0..(System.monotonic_time() - before)
      assert %Error{kind: :worker_down} = down.error
      assert LastFailure.find(context.instance) == down.error
    end

    test "that is stopped has no error", %{name: name} do
      stop_supervised!(name)

      assert [{_event, _measurements, %{error: nil}, _connection}] =
               events([:vllm, :connection, :down])
    end
  end
end
