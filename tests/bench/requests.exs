# What do requests cost that carry more than a few tokens: logprobs, several completions, long prompts?
#
#     mix run tests/bench/requests.exs [MODEL] [--json] [--rounds N] [--quick]
#
# Each from Elixir and in process, by turns on one engine. Long prompts are for an engine that costs
# nothing (support/free_engine.py): the time of a model on them differs by more than the bridge adds.

Code.require_file("support/cost.exs", __DIR__)

defmodule Requests do
  alias Bench.{Cost, Measured}

  @tokens 128
  @streams 16
  @text "hello world"
  @ids [8_192, 32_768]

  @many [
    {"plain", []},
    {"logprobs=5", [logprobs: 5]},
    {"n=4", [n: 4, temperature: 1.0, seed: 1]}
  ]

  def run(argv) do
    opts = Bench.options(argv)
    rounds = Bench.rounds(opts, 8)
    many = Measured.with_engine(opts, &many(&1, rounds))
    # The tiny model knows positions by rotation and has no table of them to outgrow.
    length = 2 * Enum.max(@ids)
    more = [max_model_len: length, hf_overrides: %{"max_position_embeddings" => length}]
    free = Keyword.merge(Cost.arguments(), more)

    long =
      Cost.with_rate(fn _file, env -> Measured.with_engine(opts, free, env, &long(&1, rounds)) end)

    Bench.report(opts, "requests", [many, long])
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
    long =
      for count <- @ids,
          do:
            {"#{count} ids",
             %{"prompt_token_ids" => for(n <- 1..count, do: 7 + rem(n * 31, 256))}}

    prompts = [{"text of 11 bytes", @text} | long]

    measure = fn {way, name} ->
      {^name, prompt} = List.keyfind(prompts, name, 0)
      times = for _ <- 1..10, do: Measured.times(way, engine, prompt, Measured.params(1))
      times |> Enum.map(& &1.last_ms) |> Bench.median()
    end

    names = for {name, _prompt} <- prompts, do: name
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
