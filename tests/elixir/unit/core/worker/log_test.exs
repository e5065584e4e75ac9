defmodule Vllm.Core.Worker.LogTest do
  # What the lines of a worker name as the cause of a failure.
  use ExUnit.Case, async: true

  alias Vllm.Core.Worker.Log

  describe "output that comes faster than lines are handled" do
    defp log, do: %Log{level: :info}

    test "is read up to a thousand lines of a message" do
      lines = Enum.map(1..1_500, &"line #{&1}")
      {taken, log} = Log.take(log(), Enum.join(["" | lines], "\n") <> "\nbegun", :lines)
      assert taken == Enum.take(lines, -1_000)
      assert {["begun, ended"], _log} = Log.take(log, ", ended\n", :lines)
      assert {^lines, _log} = Log.take(log(), Enum.join(lines, "\n") <> "\n", :all)
    end

    test "keeps the line that a message begins with, unless its beginning was dropped" do
      whole = Log.skip_messages(log(), ["y\n", "y\n"])
      assert {["the cause"], _log} = Log.take(whole, "the cause\n", :newest)

      for part <- [:newest, :lines, :all] do
        cut = Log.skip_messages(log(), ["y\n", "the be"])
        assert {[], cut} = Log.take(cut, "ginn", part)
        assert {["next"], _log} = Log.take(cut, "ing\nnext\n", part)
      end
    end

    test "keeps the line that has begun if nothing is dropped" do
      {[], begun} = Log.take(log(), "the ca", :newest)
      assert {["the cause"], _log} = begun |> Log.skip_messages([]) |> Log.take("use\n", :newest)
    end

    test "is read to the end of the line that has begun, and from the newest lines" do
      {[], log} = Log.take(log(), "VLLM_BRIDGE", :newest)
      flood = String.duplicate("flood\n", 10_000)
      {lines, log} = Log.take(log, " READY {}\n" <> flood <> "last\nbegun", :newest)
      assert ["VLLM_BRIDGE READY {}" | newest] = lines
      assert List.last(newest) == "last"
      assert length(newest) == 20
      assert {[" begun" <> _ | _], _log} = Log.take(%{log | partial: " begun"}, "\n", :lines)
    end

    test "may be a line without an end" do
      data = String.duplicate("x", 60_000)
      {[], log} = Log.take(log(), data, :newest)
      {[], log} = Log.take(log, data, :newest)
      {[line], _log} = Log.take(log, "\n", :newest)
      assert line =~ ~r/^x+… \(#{120_000 - Log.line_bytes()} bytes more\)$/
    end

    test "is skipped with the line that has begun" do
      {[], log} = Log.take(log(), "begun", :lines)
      log = Log.skip(log, 100)
      assert {["next"], _log} = Log.take(log, "next\n", :lines)
    end

    # The lines that were added after a mark are found by the difference of two counts.
    test "does not count lines that were dropped" do
      log = Enum.reduce(1..10, log(), &Log.add(&2, "old #{&1}"))
      mark = log.seen
      log = Log.skip(log, 1_000_000)
      log = Log.add(log, "new")
      assert Enum.take(Log.lines(log), -(log.seen - mark)) == ["new"]
    end
  end

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
