defmodule Vllm.Core.Worker.JSONLineTest do
  # The lines are those of a worker and of vLLM with `--log-format json`.
  use ExUnit.Case, async: true

  alias Vllm.Core.Worker.{JSONLine, Log}

  @failed ~S({"level": "ERROR", "logger": "vllm.v1.engine.core", "pid": 7, "process": "EngineCore", ) <>
            ~S("message": "EngineCore failed to start.", "timestamp": "2026-01-01T00:00:00+00:00", ) <>
            ~S("exc_info": "Traceback (most recent call last\):\n  File \"core.py\", line 1\n) <>
            ~S(ValueError: not \"that\" model"})

  test "is read as the lines of a text" do
    assert JSONLine.as_text(@failed) == [
             "(EngineCore pid=7) ERROR [vllm.v1.engine.core] EngineCore failed to start.",
             "(EngineCore pid=7) ERROR [vllm.v1.engine.core] Traceback (most recent call last):",
             ~S|(EngineCore pid=7) ERROR [vllm.v1.engine.core]   File "core.py", line 1|,
             ~S|(EngineCore pid=7) ERROR [vllm.v1.engine.core] ValueError: not "that" model|
           ]

    own = ~S({"level": "INFO", "logger": "python_worker.server", "pid": 7, "message": "serving"})
    assert JSONLine.as_text(own) == ["INFO [python_worker.server] serving"]
  end

  test "has the characters that it stands for" do
    line =
      ~S({"level": "INFO", "logger": "a", "pid": 7, "message": "\u00e9 \ud83d\ude00 \ud83d \\n\/\t"})

    assert JSONLine.as_text(line) == ["INFO [a] é 😀 \uFFFD \\n/\t"]
  end

  test "of another kind is left as it is" do
    for line <- ["", "{", ~S({"a": 1}), "INFO a: b", ~S({"message": 5}), ~S({"message": "unended)] do
      assert JSONLine.as_text(line) == [line]
    end
  end

  test "names the cause of a failure, and the engines that failed" do
    assert Log.root_causes([@failed]) == [~S(ValueError: not "that" model)]

    other =
      @failed |> String.replace(~s("pid": 7), ~s("pid": 8)) |> String.replace("that", "this")

    assert Log.root_causes([@failed, other]) == [
             ~S(ValueError: not "that" model),
             ~S(ValueError: not "this" model)
           ]
  end

  test "has a level of its own" do
    levels =
      for line <- [@failed, ~S({"level": "DEBUG", "message": "x"}), "no JSON"],
          do: Log.level(line)

    assert levels == [:error, :debug, :info]
  end
end
