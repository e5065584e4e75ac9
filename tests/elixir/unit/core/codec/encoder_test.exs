defmodule Vllm.Core.Codec.EncoderTest do
  use ExUnit.Case, async: true

  import Vllm.Encoding, only: [refused: 1]

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

    test "of containers nested beyond the limit, and of no others, have a short message" do
      limit = Vllm.Core.Codec.Encoder.max_depth()

      for {shape, wrap} <- [
            list: &[&1],
            "list with others": &[1, "x", &1, nil],
            map: &%{"k" => &1},
            keyword: &[k: &1],
            "map's key": &%{{&1} => 1},
            tuple: &{&1},
            set: &MapSet.new([&1]),
            struct: &%SamplingParams{extra_args: &1}
          ] do
        # A key is in the map and in a tuple.
        each = if shape == :"map's key", do: 2, else: 1

        for levels <- [1, limit - 2, limit - 1, limit, limit + 1, limit + 2, 500, 2000] do
          term = Enum.reduce(1..div(levels, each), 1, fn _, term -> wrap.(term) end)

          if div(levels, each) * each <= limit do
            assert {:ok, iodata} = Codec.encode(term), "#{shape}, #{levels}"

            assert {:ok, decoded} = Codec.decode(IO.iodata_to_binary(iodata), nil),
                   "#{shape}, #{levels}"

            if shape in [:list, :"list with others", :map, :tuple, :set],
              do: assert(decoded == term)
          else
            {path, message} = refused(term)
            assert message =~ "more than #{limit} deep", "#{shape}, #{levels}"
            assert String.length(path) < 250
          end
        end
      end
    end
  end
end
