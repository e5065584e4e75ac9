defmodule Vllm.Core.Codec.PathTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Codec.Path

  test "is written as Elixir accesses the part" do
    steps = [{:field, :stop}, {:key, "x"}, {:key, :y}, {:index, 2}]
    assert Path.to_string(steps, "value") == ~s(value[2][:y]["x"].stop)
    assert Path.to_string([], "value") == "value"
    assert Path.to_string([:member], "value") == "value member"
    assert Path.to_string([{:in_key, {1, 2}}], "value") == "value key {1, 2}"
  end

  test "shortens large keys and long paths in the middle" do
    assert String.length(Path.to_string([{:key, String.duplicate("k", 1_000)}], "value")) < 100
    steps = for index <- 1_000..1//-1, do: {:index, index}
    path = Path.to_string(steps, "value")
    assert String.length(path) == String.length("value") + 201
    assert String.starts_with?(path, "value[1][2]")
    assert String.ends_with?(path, "[999][1000]")
  end

  test "of 200 characters is shown whole, and of a longer one a hundred at both ends" do
    whole =
      Path.to_string([{:field, :b}, {:field, String.to_atom(String.duplicate("a", 197))}], "")

    assert whole == "." <> String.duplicate("a", 197) <> ".b"

    long =
      Path.to_string([{:field, :b}, {:field, String.to_atom(String.duplicate("a", 198))}], "")

    assert long == "." <> String.duplicate("a", 99) <> "…" <> String.duplicate("a", 98) <> ".b"
  end
end
