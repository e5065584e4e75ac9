# What do requests cost that carry more than a few tokens: logprobs, several completions, long prompts?
#
#     mix run tests/bench/requests.exs [MODEL] [--json] [--rounds N] [--quick]
#
# Each from Elixir and in process, by turns on one engine. The prompt of 8,192 ids is in the engine's
# prefix cache after the first time, which leaves the engine little to do and the bridge's share as
# large as it can be.

Code.require_file("support/measured.exs", __DIR__)

defmodule Requests do
  alias Bench.Measured

  @tokens 128
  @streams 16
  @text "hello world"
  @ids 8_192

  @many [
    {"plain", []},
    {"logprobs=5", [logprobs: 5]},
    {"n=4", [n: 4, temperature: 1.0, seed: 1]}
  ]

  def run(argv) do
    opts = Bench.options(argv)
    rounds = Bench.rounds(opts, 8)
    # The tiny model knows positions by rotation and has no table of them to outgrow.
    more = [max_model_len: 2 * @ids, hf_overrides: %{"max_position_embeddings" => 2 * @ids}]

    tables =
      Measured.with_engine(opts, more, fn engine ->
        [many(engine, rounds), long(engine, rounds)]
      end)

    Bench.report(opts, "requests", tables)
  end

  defp many(engine, rounds) do
    measure = fn {way, name} ->
      {^name, more} = List.keyfind(@many, name, 0)
      Measured.speed(way, engine, @text, Measured.params(@tokens, more), @streams, 2)
    end

    names = for {name, _more} <- @many, do: name
    title = "tokens/s, #{@streams} streams of #{@tokens} tokens, DELTA"
    compare(title, names, rounds, measure, &Bench.ratio/2, "ratio", 0)
  end

  # From the call to the whole answer, which is one token.
  defp long(engine, rounds) do
    prompts = %{
      "text of 11 bytes" => @text,
      "#{@ids} ids" => %{"prompt_token_ids" => for(n <- 1..@ids, do: 7 + rem(n * 31, 256))}
    }

    measure = fn {way, name} ->
      times = for _ <- 1..10, do: Measured.times(way, engine, prompts[name], Measured.params(1))
      times |> Enum.map(& &1.last_ms) |> Bench.median()
    end

    names = Enum.sort_by(Map.keys(prompts), &String.length/1)
    added = &Bench.figure(Enum.zip_with(&1, &2, fn ours, theirs -> ours - theirs end), :less)
    compare("ms from the call to its only token", names, rounds, measure, added, "added", 2)
  end

  defp compare(title, names, rounds, measure, by, heading, decimals) do
    turns = for name <- names, way <- [:in_process, :elixir], do: {way, name}
    Enum.each(turns, measure)
    results = Bench.in_turn(rounds, turns, measure)

    rows =
      for name <- names do
        [reference, ours] = for way <- [:in_process, :elixir], do: results[{way, name}]

        %{
          what: name,
          in_process: Bench.median(reference),
          elixir: Bench.median(ours),
          difference: by.(ours, reference)
        }
      end

    columns = [
      what: "request",
      in_process: {"in process", decimals},
      elixir: {"through Elixir", decimals},
      difference: {heading, 2}
    ]

    Bench.table(title, columns, rows)
  end
end

Requests.run(System.argv())
