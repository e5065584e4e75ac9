defmodule Vllm.SmallModelTest do
  # A stand-in for :telemetry is there for the whole node. What Python does is tested in Python.
  use ExUnit.Case, async: false

  import Vllm.StandIns

  alias Vllm.{Error, SmallModel}

  @moduletag :tmp_dir

  # In place of the interpreter, a script that prints what the command prints.
  defp python(dir, script) do
    path = Path.join(dir, "python")
    File.write!(path, "#!/bin/sh\n" <> script)
    File.chmod!(path, 0o755)
    [python: path]
  end

  defp failing(dir),
    do:
      python(
        dir,
        ~S(echo "$3: downloading" >&2; echo "no package"; echo "What to do: this."; exit 3)
      )

  test "a model that is there is its folder, without a word", %{tmp_dir: dir} do
    telemetry()
    test = self()
    options = [progress: &send(test, {:line, &1})] ++ python(dir, ~S(echo "/cache/$2/$3"))

    assert SmallModel.path(:chat, options) ==
             {:ok, "/cache/python_worker.small_models/smollm2-135m-instruct"}

    assert SmallModel.path!(:embed, options) ==
             "/cache/python_worker.small_models/all-minilm-l6-v2"

    assert SmallModel.path!(:transcribe, options) ==
             "/cache/python_worker.small_models/whisper-tiny.en"

    assert SmallModel.path!(:pirate, options) ==
             "/cache/python_worker.small_models/smollm2-135m-pirate"

    refute_received {:line, _}
    assert events() == []
  end

  test "a model that is made shows its steps and ends with an event", %{tmp_dir: dir} do
    telemetry()
    test = self()
    script = ~S(echo "$3: downloading" >&2; echo "$3: dequantising … 2 s" >&2; echo /cache/it)
    options = [progress: &send(test, {:line, &1})] ++ python(dir, script)
    assert SmallModel.path(:chat, options) == {:ok, "/cache/it"}

    assert_received {:line, "smollm2-135m-instruct: downloading"}
    assert_received {:line, "smollm2-135m-instruct: dequantising … 2 s"}

    assert [
             {[:vllm, :small_model, :step], _, %{text: "downloading"}, ^test},
             {[:vllm, :small_model, :step], _, %{text: "dequantising … 2 s"}, ^test},
             {[:vllm, :small_model, :made], %{duration: duration}, metadata, ^test}
           ] = events()

    assert duration > 0
    assert metadata == %{model: "smollm2-135m-instruct", path: "/cache/it"}
  end

  test "steps are printed where it is asked for", %{tmp_dir: dir} do
    python = python(dir, ~S(echo "$3: downloading" >&2; echo /cache/it))

    print = fn options ->
      ExUnit.CaptureIO.capture_io(fn -> SmallModel.path!(:chat, options) end)
    end

    assert print.([progress: true] ++ python) == "smollm2-135m-instruct: downloading\n"
    assert print.([progress: false] ++ python) == ""
    assert print.(python) == ""
  end

  test "a machine that is not ready is a conflict, which says what to do", %{tmp_dir: dir} do
    telemetry()
    assert {:error, %Error{kind: :conflict} = error} = SmallModel.path(:chat, failing(dir))

    assert error.message ==
             "smollm2-135m-instruct could not be made: no package\nWhat to do: this."

    assert [
             {[:vllm, :small_model, :step], _, _, _},
             {[:vllm, :small_model, :failed], _, failed, _}
           ] = events()

    assert failed == %{model: "smollm2-135m-instruct", error: error}
    assert_raise Error, ~r/What to do: this/, fn -> SmallModel.path!(:chat, failing(dir)) end
  end

  test "any other end is an error of Python, with its output", %{tmp_dir: dir} do
    for script <- ["echo 'KeyError: 5'; exit 1", "echo 'KeyError: 5'; kill -9 $$", "exit 0"] do
      assert {:error, %Error{kind: :python} = error} = SmallModel.path(:chat, python(dir, script))
      assert error.message =~ "smollm2-135m-instruct could not be made"
      assert error.message =~ "KeyError: 5" or script == "exit 0"
    end
  end

  test "without an interpreter is an error" do
    assert {:error, %Error{kind: :worker_down}} =
             SmallModel.path(:chat, python: "/nowhere/python")
  end

  test "a model that is not known is refused" do
    assert_raise FunctionClauseError, fn -> SmallModel.path(:gpt) end
  end
end
