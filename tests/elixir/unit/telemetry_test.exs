defmodule Vllm.TelemetryTest do
  # Defines the module :telemetry for as long as it runs.
  use ExUnit.Case, async: false

  alias Vllm.Telemetry

  @metadata %{instance: X, class: "AsyncLLM", method: "sleep"}

  setup do
    [{module, _}] =
      Code.compile_string("""
      defmodule :telemetry do
        def execute(event, measurements, metadata) do
          send(self(), {event, measurements, metadata})
        end
      end
      """)

    on_exit(fn ->
      :code.purge(module)
      :code.delete(module)
    end)
  end

  test "a call starts and stops once" do
    assert Telemetry.span(@metadata, fn -> {:ok, 1} end) == {:ok, 1}
    assert_received {[:vllm, :call, :start], %{system_time: _}, @metadata}
    assert_received {[:vllm, :call, :stop], %{duration: duration}, %{result: :ok, class: _}}
    assert duration >= 0
    refute_received {[:vllm, :call, _], _, _}
  end

  test "an error is an outcome like any other" do
    Telemetry.span(@metadata, fn -> {:error, Vllm.Error.new(:timeout, "late")} end)
    assert_received {[:vllm, :call, :stop], _, %{result: :timeout}}
  end

  test "an exception passes through and is the end" do
    assert_raise RuntimeError, fn -> Telemetry.span(@metadata, fn -> raise "oops" end) end
    assert_received {[:vllm, :call, :exception], _, %{kind: :error, reason: %RuntimeError{}}}
    refute_received {[:vllm, :call, :stop], _, _}
  end
end
