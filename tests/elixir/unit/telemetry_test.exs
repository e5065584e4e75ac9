defmodule Vllm.TelemetryTest do
  use ExUnit.Case, async: true

  alias Vllm.Telemetry

  describe "the documentation" do
    test "names every event" do
      {:docs_v1, _, _, _, %{"en" => moduledoc}, _, _} = Code.fetch_docs(Telemetry)
      guide = File.read!("elixir/guides/telemetry.md")

      for event <- Telemetry.events() do
        assert moduledoc =~ "### `#{inspect(event)}`"
        assert guide =~ "`#{inspect(event)}`", "the guide does not name #{inspect(event)}"
      end
    end

    test "has each event once" do
      assert Telemetry.events() == Enum.uniq(Telemetry.events())
    end

    test "has the metrics and tags of the guide's example" do
      guide = File.read!("elixir/guides/telemetry.md")
      examples = Regex.scan(~r/^ +(\w+)\("(vllm\.[\w.]+)",.* tags: \[([:\w, ]+)\]\)/m, guide)
      assert length(examples) > 10
      table = Telemetry.table()

      for [_, kind, metric, tags] <- examples do
        {event, [measurement]} = metric |> String.split(".") |> Enum.split(-1)
        event = Enum.map(event, &String.to_existing_atom/1)
        assert {_, _, measurements, metadata} = List.keyfind(table, event, 0)
        {tags, []} = Code.eval_string("[#{tags}]")
        assert tags -- Keyword.keys(metadata) == []
        # What a counter counts is events.
        assert kind == "counter" or
                 String.to_existing_atom(measurement) in Keyword.keys(measurements)
      end
    end

    test "has every event that the sources emit" do
      for path <- Path.wildcard("elixir/lib/**/*.ex"),
          [_, name] <- Regex.scan(~r/event\(\s*(\[:vllm(?:, :\w+)+\])/, File.read!(path)) do
        {event, []} = Code.eval_string(name)
        assert event in Telemetry.events(), "#{path} emits #{name}"
      end
    end
  end
end
