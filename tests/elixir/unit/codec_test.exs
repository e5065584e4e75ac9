defmodule Vllm.CodecTest do
  # The table of values, in the order in which `Vllm.Codec` lists it.
  use ExUnit.Case, async: true

  import Vllm.Encoding, only: [encode!: 1, refused: 1, round_trip: 1]

  alias Vllm.{Bytes, Codec, Error, OwnStructs, SamplingParams, Tensor, TestVectors}

  doctest Vllm.Codec

  defmodule Foreign do
    defstruct [:x]
  end

  # The first byte identifies MessagePack's format.
  defp assert_format(term, first) do
    assert <<^first, _::binary>> = encode!(term)
    assert round_trip(term) == {:ok, term}
  end

  describe "vectors" do
    for %{"name" => name, "way" => way} = vector <- TestVectors.read("values.json") do
      @vector vector
      if way != "to_python" do
        test "from Python: #{name}" do
          expected = TestVectors.build(@vector["value"], :received)
          assert Codec.decode(@vector["bytes"], :here) == {:ok, expected}
        end
      end

      if way != "to_elixir" do
        test "to Python: #{name}" do
          sent = TestVectors.build(@vector["value"], :sent)
          assert encode!(sent) == in_our_order(@vector["bytes"], sent)
        end
      end
    end
  end

  # Maps are encoded in Elixir's order, which does not matter; the sizes must be equal.
  defp in_our_order(bytes, sent) when is_map(sent) and not is_struct(sent) do
    ours = encode!(sent)
    assert byte_size(ours) == byte_size(bytes)
    assert Codec.decode(ours, :here) == Codec.decode(bytes, :here)
    ours
  end

  defp in_our_order(bytes, _sent), do: bytes

  describe "numbers" do
    test "integers take the smallest format" do
      for {int, first} <- [
            {0, 0},
            {0x7F, 0x7F},
            {0x80, 0xCC},
            {0xFF, 0xCC},
            {0x100, 0xCD},
            {0xFFFF, 0xCD},
            {0x10000, 0xCE},
            {0xFFFFFFFF, 0xCE},
            {0x100000000, 0xCF},
            {0xFFFFFFFFFFFFFFFF, 0xCF},
            {-1, 0xFF},
            {-32, 0xE0},
            {-33, 0xD0},
            {-0x80, 0xD0},
            {-0x81, 0xD1},
            {-0x8000, 0xD1},
            {-0x8001, 0xD2},
            {-0x80000000, 0xD2},
            {-0x80000001, 0xD3},
            {-0x8000000000000000, 0xD3}
          ] do
        assert_format(int, first)
      end
    end

    test "integers around each power of two" do
      for bits <- 1..200, near <- -1..1, sign <- [1, -1] do
        int = sign * Bitwise.bsl(1, bits) + near
        assert round_trip(int) == {:ok, int}
        assert round_trip([{int}]) == {:ok, [{int}]}
      end
    end

    test "floats keep their bits" do
      for bits <- [0, 0x8000000000000000, 1, 0x7FEFFFFFFFFFFFFF, 0x3FF8000000000000] do
        <<float::float>> = <<bits::64>>
        {:ok, back} = round_trip(float)
        assert <<back::float>> == <<bits::64>>
      end
    end

    test "infinities and not-a-number are atoms" do
      for atom <- [:nan, :infinity, :neg_infinity], do: assert(round_trip(atom) == {:ok, atom})
      # Other bits that are not a number; and in 32 bits.
      assert Codec.decode(<<0xCB, -1::64>>, :here) == {:ok, :nan}
      assert Codec.decode(<<0xCA, 0x7FC00000::32>>, :here) == {:ok, :nan}
      assert Codec.decode(<<0xCA, 0x7F800000::32>>, :here) == {:ok, :infinity}
      assert Codec.decode(<<0xCA, 0xFF800000::32>>, :here) == {:ok, :neg_infinity}
      assert Codec.decode(<<0xCA, 1.5::float-32>>, :here) == {:ok, 1.5}
    end
  end

  describe "text and bytes" do
    test "sizes at the edges of each format" do
      for {size, text, bytes} <- [
            {0, 0xA0, 0xC4},
            {31, 0xBF, 0xC4},
            {32, 0xD9, 0xC4},
            {255, 0xD9, 0xC4},
            {256, 0xDA, 0xC5},
            {65_535, 0xDA, 0xC5},
            {65_536, 0xDB, 0xC6}
          ] do
        data = String.duplicate("a", size)
        assert_format(data, text)
        assert <<^bytes, _::binary>> = encode!(%Bytes{data: data})
        assert round_trip(%Bytes{data: data}) == {:ok, data}
      end
    end

    test "bytes of every value, and ten megabytes" do
      everything = for byte <- 0..255, into: <<>>, do: <<byte>>
      assert round_trip(%Bytes{data: everything}) == {:ok, everything}
      large = String.duplicate(everything, 40_000)
      assert round_trip([%Bytes{data: large}]) == {:ok, [large]}
    end

    test "a binary that is not text is refused, and the error suggests Vllm.Bytes" do
      assert {"value[1]", message} = refused(["ok", <<0xFF>>])
      assert message =~ "Vllm.Bytes"
      assert {"value", _message} = refused(<<0xED, 0xA0, 0x80>>)
      assert {"value", _message} = refused(<<1::3>>)
    end

    test "atoms are sent as their names" do
      assert round_trip(:auto) == {:ok, "auto"}
      assert round_trip({:ok, nil}) == {:ok, {"ok", nil}}
    end
  end

  describe "containers" do
    test "sizes at the edges of each format" do
      for {size, list, map} <- [
            {0, 0x90, 0x80},
            {15, 0x9F, 0x8F},
            {16, 0xDC, 0xDE},
            {65_535, 0xDC, 0xDE},
            {65_536, 0xDD, 0xDF}
          ] do
        assert_format(List.duplicate(nil, size), list)
        assert_format(Map.new(1..size//1, &{&1, nil}), map)

        assert round_trip(List.to_tuple(List.duplicate(1, size))) |> elem(1) |> tuple_size() ==
                 size

        assert round_trip(MapSet.new(1..size//1)) == {:ok, MapSet.new(1..size//1)}
      end
    end

    test "keep their type, empty and nested" do
      for term <- [[], {}, %{}, MapSet.new(), [[]], {{}}, %{[] => %{}}, [{}, MapSet.new([{}])]] do
        assert round_trip(term) == {:ok, term}
      end
    end

    test "keys keep their type" do
      map = %{1 => 1, 1.0 => 2, "1" => 3, nil => 4, true => 5, {1, "a"} => 6, :nan => 7}
      assert round_trip(map) == {:ok, map}
    end

    test "keyword lists and atom keys become string keys" do
      assert round_trip(a: 1, b: [c: 2]) == {:ok, %{"a" => 1, "b" => %{"c" => 2}}}
      assert round_trip(%{a: %{b: :c}}) == {:ok, %{"a" => %{"b" => "c"}}}
      assert round_trip([{:a, 1}, 2]) == {:ok, [{"a", 1}, 2]}
    end

    test "two keys that are the same in Python are refused" do
      assert {"value[0]", message} = refused([%{:a => 1, "a" => 2}])
      assert message =~ ~s(the keys :a and "a" are the same)
      assert {"value", message} = refused(a: 1, b: 2, a: 3)
      assert message =~ ":a occurs twice"
    end
  end

  describe "times" do
    test "come back with their microseconds" do
      for {sent, received} <- [
            {~U[2024-02-29 12:00:00Z], ~U[2024-02-29 12:00:00.000000Z]},
            {~U[2024-02-29 12:00:00.123456Z], ~U[2024-02-29 12:00:00.123456Z]},
            {~N[0001-01-01 00:00:00.1], ~N[0001-01-01 00:00:00.100000]},
            {~D[9999-12-31], ~D[9999-12-31]},
            {~T[23:59:59.9], ~T[23:59:59.900000]}
          ] do
        assert round_trip(sent) == {:ok, received}
      end
    end

    test "an offset is sent; an offset with seconds becomes UTC" do
      zone = %{~U[2024-01-01 12:00:00Z] | time_zone: "X", zone_abbr: "X", std_offset: 0}
      assert encode!(%{zone | utc_offset: 3600}) =~ "12:00:00.000000+01:00"
      assert round_trip(%{zone | utc_offset: 3600}) == {:ok, ~U[2024-01-01 11:00:00.000000Z]}
      assert round_trip(%{zone | utc_offset: 1172}) == {:ok, ~U[2024-01-01 11:40:28.000000Z]}
    end

    test "years outside of Python's range are refused" do
      for term <- [~D[0000-01-01], ~N[-0001-01-01 00:00:00], ~U[0000-01-01 00:00:00Z]] do
        assert {"value", message} = refused(term)
        assert message =~ "1 to 9999"
      end
    end
  end

  describe "structs" do
    test "of vLLM's classes are sent with the fields that differ from the default" do
      assert encode!(%SamplingParams{}) |> byte_size() < 25
      params = %SamplingParams{max_tokens: 7, stop: ["a"], logit_bias: %{5 => -1.5}}
      assert round_trip(params) == {:ok, params}
    end

    test "of unknown classes arrive as maps" do
      content = <<0x92, 0xA6, "Future", 0x81, 0xA1, "x", 1>>
      data = <<0xC7, byte_size(content), 11, content::binary>>
      assert Codec.decode(data, :here) == {:ok, %{"__class__" => "Future", "x" => 1}}
    end

    test "of a newer vLLM lose unknown fields" do
      content = <<0x92, 0xA7, "Logprob", 0x82, 0xA4, "rank", 3, 0xA4, "mood", 1>>
      data = <<0xC7, byte_size(content), 11, content::binary>>
      assert Codec.decode(data, :here) == {:ok, %Vllm.Logprob{rank: 3}}
    end

    test "of outputs keep them by name" do
      content = <<0x92, 0xAD, "RequestOutput", 0x82, 0xA6, "prompt", 0xA1, "p", 0xA4, "mood", 1>>
      data = <<0xC7, byte_size(content), 11, content::binary>>
      known = %Vllm.RequestOutput{prompt: "p"}
      assert Codec.decode(data, :here) == {:ok, %{known | extra: %{"mood" => 1}}}
    end

    test "invalid tensors are refused" do
      tensor = %Tensor{dtype: "float32", shape: [2], data: <<0::64>>}
      assert round_trip(tensor) == {:ok, tensor}
      assert {"value", message} = refused(%{tensor | shape: [3]})
      assert message =~ "12 bytes, but there are 8"
      assert {"value", _message} = refused(%{tensor | dtype: "float31"})
      assert {"value", _message} = refused(%{tensor | shape: {2}})
    end

    test "references carry the instance they came from" do
      ref = %Vllm.Ref{instance: :there, incarnation: "i", id: "x", type: "T"}
      assert round_trip(ref) == {:ok, %{ref | instance: :here}}
      assert {"value", _message} = refused(%{ref | id: nil})
    end

    test "with an implementation of Vllm.Encoder are sent as what it returns" do
      assert {:ok, %{"messages" => ["hi"]}} = round_trip(%OwnStructs.Chat{messages: ["hi"]})
      assert {~s(value["messages"][0]), _} = refused(%OwnStructs.Chat{messages: [self()]})
      assert {"value", message} = refused(%OwnStructs.Loop{})
      assert message =~ "deep"
    end

    test "without an implementation are refused, and the error suggests one" do
      assert {"value[:a]", message} = refused(%{a: %Foreign{x: 1}})
      assert message =~ "Foreign struct cannot be sent"
      assert message =~ "implement Vllm.Encoder"
      assert {"value", _} = refused(1..3)
      assert {"value", _} = refused(%Error{kind: :python, message: "x"})
    end
  end
end
