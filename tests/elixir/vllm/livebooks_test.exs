defmodule Vllm.RealEngine.LivebooksTest do
  # The Livebooks among the examples are executed, cell by cell and with one binding, on the engines of
  # this lane. Left out are the cells that install, because the library is loaded; that build an
  # engine, because those of the lane serve; and that shut one down, because others need it.
  # `make examples` executes them too, on engines of their own.
  use Vllm.VllmEngine, engine: :chat, also: [embedder: :embed]

  alias Vllm.ExampleCode

  @left_out ["Mix.install", "from_engine_args", "shutdown"]

  # What cells give, by a part of their code.
  @values %{
    "elixir/examples/livebooks/first_tour.livemd" => [
      {"hd(answer.choices)", ~r/Paris/},
      {"And of Italy?", ~r/Rome/},
      {"error.retryable", ~r/^{:invalid, "temperature .*false}$/},
      {"Enum.take(5)", ~r/\w/},
      {"check_health", ~r/^{:ok, nil}$/}
    ],
    "elixir/examples/livebooks/structured_output_and_embeddings.livemd" => [
      {"Vllm.json", ~r/"city" => "London"/},
      {"choice:", ~r/"What a lovely day!", "(happy|sad)"/},
      {"batch.embeddings\n", ~r/float32\[4, 384\]/},
      {"umbrella", ~r/^"Rain is expected tomorrow\."$/}
    ]
  }

  test "every Livebook is executed here" do
    assert Enum.sort(Map.keys(@values)) == ExampleCode.livebooks()
  end

  for {path, expected} <- @values do
    @path path
    @expected expected

    test "the cells of #{path} run", %{engine: engine, embedder: embedder} do
      cells =
        for cell <- ExampleCode.cells(@path), not String.contains?(cell, @left_out), do: cell

      {values, _bindings} =
        Enum.map_reduce(cells, [engine: engine, embedder: embedder], fn cell, bindings ->
          ExUnit.CaptureIO.with_io(fn -> Code.eval_string(cell, bindings, file: @path) end)
          |> then(fn {{value, bindings}, _printed} -> {{cell, inspect(value)}, bindings} end)
        end)

      for {code, pattern} <- @expected do
        assert {_cell, value} = Enum.find(values, fn {cell, _value} -> cell =~ code end)
        assert value =~ pattern, "the cell with #{code} gives #{value}"
      end

      assert_idle(engine)
    end
  end

  defp assert_idle(engine), do: wait_until(fn -> unfinished(engine) == 0 end)
end
