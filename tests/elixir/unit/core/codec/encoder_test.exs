defmodule Vllm.Core.Codec.EncoderTest do
  use ExUnit.Case, async: true

  import Vllm.Encoding, only: [refused: 1, round_trip: 1]

  alias Vllm.{Codec, Error, SamplingParams}

  describe "errors" do
    test "name the part and its path" do
      port = Port.list() |> hd()

      for {term, path, name} <- [
            {self(), "value", "a pid"},
            {[1, {:a, port}], "value[1][1]", "a port"},
            {%{"x" => [make_ref()]}, ~s(value["x"][0]), "an Erlang reference"},
            {[a: [b: &is_nil/1]], "value[:a][:b]", "a function"},
            {%{{1, self()} => 1}, "value key {1, ", "a pid"},
            {MapSet.new([self()]), "value member", "a pid"},
            {%SamplingParams{stop: [self()]}, "value.stop[0]", "a pid"},
            {[1, [2 | 3]], "value[1]", "an improper list"}
          ] do
        {refused_path, message} = refused(term)
        assert String.starts_with?(refused_path, path)
        assert message =~ "#{name} cannot be sent"
      end
    end

    test "begin with the given root" do
      assert {:error, %Error{message: "args[0]: a pid cannot be sent"}} =
               Codec.encode([self()], "args")
    end

    test "of deeply nested containers have a short message" do
      for {wrap, fits} <- [{&[&1], 128}, {&%{"k" => &1}, 128}, {&{&1}, 128}] do
        deep = Enum.reduce(1..fits, 1, fn _, term -> wrap.(term) end)
        assert round_trip(deep) == {:ok, deep}
        deeper = Enum.reduce(1..2000, 1, fn _, term -> wrap.(term) end)
        {path, message} = refused(deeper)
        assert message =~ "more than 128 deep"
        assert String.length(path) < 250
      end
    end
  end
end
