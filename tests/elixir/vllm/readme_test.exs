defmodule Vllm.RealEngine.ReadmeTest do
  # The README is executed: its session with IEx as it stands, on the default instance, and the
  # examples of its text against an engine of this lane.
  use Vllm.VllmEngine, engine: :scripted

  @readme File.read!("README.md")

  setup_all do
    put_environment()
    on_exit(fn -> DynamicSupervisor.terminate_child(Vllm.DefaultSupervisor, default()) end)
  end

  # The session's model is downloaded once.
  if reason = unavailable(:chat), do: @tag(skip: reason)

  test "the session prints what the README shows" do
    [session] = for block <- blocks(), block =~ "iex> ", do: block
    steps = steps(session)
    assert length(steps) > 5

    Enum.reduce(steps, [], fn {code, printed}, bindings ->
      {value, bindings} = Code.eval_string(code, bindings)
      if printed, do: assert({code, inspect(value, pretty: true)} == {code, printed})
      bindings
    end)
  end

  test "every other example is Elixir" do
    for block <- blocks(),
        not (block =~ "iex>"),
        do: assert({:ok, _} = Code.string_to_quoted(block))
  end

  test "the examples of arguments and streams run", %{engine: engine} do
    bindings = [engine: engine, prompt: "Hello", id: request_id()]

    # The example of a test is run in the lane `bridge`, with those of the guide "Testing".
    examples =
      for block <- blocks(), block =~ "(engine,", not (block =~ ~r/iex>|Vllm\.Test\./), do: block

    assert length(examples) > 1

    for block <- examples do
      printed =
        ExUnit.CaptureIO.capture_io(fn ->
          {value, _bindings} = Code.eval_string(block, bindings)
          refute match?({:error, _}, value)
        end)

      if block =~ "IO.write", do: assert(printed == hello())
    end

    assert_well(engine)
  end

  defp blocks do
    for [_, block] <- Regex.scan(~r/^```elixir\n(.*?)^```/ms, @readme), do: block
  end

  # What is typed, and what IEx prints after it, where that is shown.
  defp steps(session) do
    for step <- String.split(session, ~r/^iex> /m, trim: true) do
      case String.split(step, "\n", parts: 2) do
        [code, ""] -> {code, nil}
        [code, printed] -> {code, String.trim(printed)}
      end
    end
  end

  defp default, do: Process.whereis(Vllm.Default) || self()
end
