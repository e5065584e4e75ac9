defmodule Vllm.WorkerLogTest do
  # What becomes of what a worker prints, without one.
  use ExUnit.Case, async: true

  alias Vllm.Worker.{Log, Stop}

  test "a line that never ends takes no more memory than one that does" do
    part = :binary.copy("x", Log.line_bytes())

    log =
      Enum.reduce(1..6_400, %Log{}, fn _, log -> log |> Log.take({:noeol, part}) |> elem(1) end)

    # 100 MB have been printed.
    assert :erlang.external_size(log) < 2 * Log.line_bytes()
    assert {line, log} = Log.take(log, {:eol, "end"})
    assert line == part <> "… (#{6_399 * Log.line_bytes() + 3} bytes more)"
    assert log == %Log{}
  end

  test "the lines after it are whole" do
    {nil, log} = Log.take(%Log{}, {:noeol, "long"})
    {"long… (1 bytes more)", log} = Log.take(log, {:eol, "!"})
    assert {"short", %Log{}} = Log.take(log, {:eol, "short"})
  end

  test "a character that is cut is left out" do
    for character <- ["é", "€", "😀"], cut <- 1..(byte_size(character) - 1) do
      <<head::binary-size(cut), rest::binary>> = character
      {nil, log} = Log.take(%Log{}, {:noeol, "ab" <> head})
      assert {line, _log} = Log.take(log, {:eol, rest})
      assert line == "ab… (#{byte_size(rest)} bytes more)"
    end
  end

  test "bytes that are no text are kept as they are" do
    {nil, log} = Log.take(%Log{}, {:noeol, <<0xFF, "abcd">>})
    assert {<<0xFF, "abcd", _::binary>>, _log} = Log.take(log, {:eol, "e"})
  end

  @tag :tmp_dir
  test "of shared memory what has the folder's name goes, and nothing else", %{tmp_dir: dir} do
    for name <- ["w*", "w?", "[a-z]", "{a,b}", "w\\*", "vllm-1f"] do
      shared = Path.join(dir, "shm")
      folder = Path.join(dir, name)
      File.mkdir_p!(shared)
      File.mkdir!(folder)
      others = ["ww_1", "w_1", "a_1", "b_1", "vllm-1f", "vllm-1f0_1", "other"]
      for file <- [name <> "_1", name <> "_" | others], do: File.touch!(Path.join(shared, file))
      assert Stop.remove_files(folder, shared) == :ok
      assert Enum.sort(File.ls!(shared)) == Enum.sort(others)
      refute File.exists?(folder)
      File.rm_rf!(shared)
    end
  end

  test "a system without shared memory as files has none to remove" do
    assert Stop.remove_files("/nowhere/vllm-1f", "/nowhere/shm") == :ok
  end
end
