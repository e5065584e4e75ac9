defmodule Vllm.Core.Worker.LogTest do
  # What the lines of a worker name as the cause of a failure.
  use ExUnit.Case, async: true

  alias Vllm.Core.Worker.Log

  test "the root cause is the last exception that does not repeat another" do
    assert Log.root_causes([
             "(EngineCore pid=5) ERROR [core.py:1] KeyError: first",
             "(EngineCore pid=5) ERROR [core.py:2] ValueError: no memory",
             "(EngineCore pid=5) ERROR [core.py:3] RuntimeError: see root cause above"
           ]) == ["ValueError: no memory"]

    assert Log.root_causes(["(EngineCore pid=5) INFO all is well"]) == []
  end

  test "the processes of one engine have one cause" do
    assert Log.root_causes([
             "(EngineCore_DP0 pid=5) ERROR [core.py:1] KeyError: first",
             "(EngineCore_DP0 pid=5) ERROR [core.py:1] ValueError: no memory",
             "(EngineCore_DP1 pid=6) ERROR [core.py:2] Exception: WorkerProc initialization failed"
           ]) == ["ValueError: no memory"]
  end

  test "several engines have all their causes" do
    assert Log.root_causes([
             "(EngineCore pid=5) ERROR [core.py:1] ValueError: no memory",
             "(EngineCore pid=6) ERROR [core.py:2] Exception: WorkerProc initialization failed",
             "(Worker pid=7) ERROR [core.py:1] RuntimeError: no weights",
             "ValueError: no memory"
           ]) == ["ValueError: no memory", "RuntimeError: no weights"]
  end
end
