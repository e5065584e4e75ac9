defmodule Vllm.Core.Telemetry.CallSpanTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  alias Vllm.Core.Telemetry.CallSpan

  @metadata %{instance: X, class: "AsyncLLM", method: "sleep", ref: nil}

  @moduletag connect: false

  setup do: telemetry()

  test "a call starts and stops once" do
    assert CallSpan.run(@metadata, fn -> {:ok, 1} end) == {:ok, 1}
    assert [{[:vllm, :call, :start], %{system_time: _}, @metadata, _}, stop] = events()
    assert {[:vllm, :call, :stop], %{duration: duration}, %{result: :ok, class: _}, _} = stop
    assert duration >= 0
  end

  test "a call that returns an error has its kind as the result" do
    CallSpan.run(@metadata, fn -> {:error, Error.new(:timeout, "late")} end)
    assert [_start, {[:vllm, :call, :stop], _, %{result: :timeout}, _}] = events()
  end

  test "a call that raises ends with an exception event" do
    assert_raise RuntimeError, fn -> CallSpan.run(@metadata, fn -> raise "oops" end) end
    assert [_start, {[:vllm, :call, :exception], _, metadata, _}] = events()
    assert %{kind: :error, reason: %RuntimeError{}} = metadata
  end

  test "a call has no arguments in its stack trace" do
    wrong = "a secret prompt"
    # Not by its name, or the compiler would say that it fails.
    failing = fn -> apply(Keyword, :fetch!, [wrong, :key]) end
    assert_raise FunctionClauseError, fn -> CallSpan.run(@metadata, failing) end
    assert [_start, {_event, _, metadata, _}] = events()
    assert {Keyword, :fetch!, 2, _} = hd(metadata.stacktrace)
    refute inspect(metadata, limit: :infinity) =~ "secret"
  end
end
