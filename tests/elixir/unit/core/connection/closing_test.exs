defmodule Vllm.Core.Connection.ClosingTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  describe "a session" do
    setup do: telemetry()

    @tag connect: false
    test "is up once and down once", %{fake: fake} = context do
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
end
