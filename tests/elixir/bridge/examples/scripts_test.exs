defmodule Vllm.Bridge.Examples.ScriptsTest do
  # The examples call only what exists, and some of them run here as they stand, on the fake engine.
  # `make examples` runs all of them on real engines.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  alias Vllm.ExampleCode

  @engine_class "python_worker.testing.fake_engine:FakeAsyncLLM"

  # With parts of what they print here.
  @runs %{
    "basic" => ["Answer: Paris.", "It took 1 tokens, and ended by stop.", "Refused (invalid): "],
    "streaming" => ["As an Enumerable:", "As messages:", "tokens, "],
    "chat" => ["Model: Paris.", "The conversation has 7 messages now."],
    "chat_room" => [
      "Bob has joined.",
      "(done)",
      "(cancelled)",
      ~s(  user: "Ada: What is the capital of France?"\n  assistant: "Paris.")
    ]
  }

  for path <- ExampleCode.all() do
    test "#{path} uses functions and fields that exist" do
      for cell <- ExampleCode.cells(unquote(path)),
          quoted = ExampleCode.quoted(cell, unquote(path)) do
        for {module, name, arity} <- ExampleCode.calls(quoted) do
          assert Code.ensure_loaded?(module), "#{inspect(module)} does not exist"

          assert function_exported?(module, name, arity),
                 "#{inspect(module)}.#{name}/#{arity} does not exist"
        end

        for {module, fields} <- ExampleCode.structs(quoted),
            do: assert(fields -- Map.keys(module.__struct__()) == [])
      end
    end
  end

  test "every script says how it is run, here and elsewhere" do
    for path <- ExampleCode.scripts() do
      head = path |> File.read!() |> String.split("\n\n") |> hd()
      assert head =~ "\n#     mix run #{path}\n"
      assert head =~ ~s|\n#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}|
    end
  end

  test "every example is in the table of the README" do
    readme = File.read!("elixir/examples/README.md")

    for path <- ExampleCode.scripts() ++ ExampleCode.livebooks(),
        do: assert(readme =~ "(#{Path.relative_to(path, "elixir/examples")})")
  end

  describe "on the fake engine" do
    setup do
      before = Application.get_env(:vllm_bridge, :default, [])
      level = Logger.level()
      options = [engine_class: @engine_class, start_timeout: 300_000]
      Application.put_env(:vllm_bridge, :default, options)
      stop_default()
      {:ok, _version} = Vllm.version()
      Vllm.Test.reply(Vllm.Default, ~r/capital of France/, "Paris.")
      # So that there is something to stop.
      Vllm.Test.reply(Vllm.Default, ~r/story/, "one two three four five six seven", hold: 6)

      on_exit(fn ->
        Logger.configure(level: level)
        stop_default()
        Application.put_env(:vllm_bridge, :default, before)
      end)
    end

    @describetag bridge: true
    test "examples run and leave no request behind" do
      for {name, lines} <- @runs do
        printed = capture_io(fn -> run("elixir/examples/#{name}.exs") end)
        for line <- lines, do: assert(printed =~ line, "#{name} prints no #{line}:\n#{printed}")
        assert {:ok, %{"engines" => []}} = Vllm.status(Vllm.Default)
      end
    end
  end

  # The file as it is, except for its model: the fake engine takes any, and none is downloaded.
  defp run(path) do
    path
    |> File.read!()
    |> Code.string_to_quoted!(file: Path.expand(path))
    |> Macro.prewalk(fn
      {{:., _, [{:__aliases__, _, [:Vllm, :SmallModel]}, :path!]}, _, _} -> "fake"
      other -> other
    end)
    |> Code.eval_quoted([], file: Path.expand(path))
  end

  defp stop_default do
    if pid = Process.whereis(Vllm.Default),
      do: DynamicSupervisor.terminate_child(Vllm.DefaultSupervisor, pid)
  end
end
