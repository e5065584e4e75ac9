defmodule Vllm.Core.Codec.ExtensionTest do
  # The extension types of the table, each with content that fits and that does not.
  use ExUnit.Case, async: true

  import Vllm.Encoding, only: [encode!: 1]

  alias Vllm.{Codec, Error, Logprob, Ref, SamplingParams, Tensor}

  # A value of an extension type, as it is on the wire.
  defp extension(code, content) when is_list(content) or is_map(content),
    do: extension(code, encode!(content))

  defp extension(code, content), do: <<0xC9, byte_size(content)::32, code::signed-8>> <> content

  defp decode(code, content), do: code |> extension(content) |> Codec.decode(:here)

  test "what fits is decoded" do
    for {name, code, content, value} <- [
          {"a tuple", 1, [1, "a"], {1, "a"}},
          {"an empty tuple", 1, [], {}},
          {"a set", 2, [1, 1, 2], MapSet.new([1, 2])},
          {"a number of one byte", 3, <<0xFF>>, -1},
          {"a number of nine bytes", 3, <<1, 0::64>>, 0x1_0000_0000_0000_0000},
          {"a datetime", 4, "2026-01-02T03:04:05Z", ~U[2026-01-02 03:04:05Z]},
          {"a datetime without a zone", 5, "2026-01-02T03:04:05", ~N[2026-01-02 03:04:05]},
          {"a date", 6, "2026-01-02", ~D[2026-01-02]},
          {"a time", 7, "03:04:05", ~T[03:04:05]},
          {"a member of an unknown enum", 9, ["Unknown", "MEMBER"], "MEMBER"},
          {"a reference", 10, ["i", "r1", "LLM"],
           %Ref{instance: :here, incarnation: "i", id: "r1", type: "LLM"}},
          {"an unknown class", 11, ["Unknown", %{"a" => 1}],
           %{"a" => 1, "__class__" => "Unknown"}},
          {"a logprob", 14, [-0.5, 2, "a"], %Logprob{logprob: -0.5, rank: 2, decoded_token: "a"}},
          {"a timestamp of 4 bytes", -1, <<5::32>>, ~U[1970-01-01 00:00:05Z]},
          {"a timestamp of 8 bytes", -1, <<999_999_999::30, 5::34>>,
           ~U[1970-01-01 00:00:05.999999Z]},
          {"a timestamp of 12 bytes", -1, <<1_000::32, -5::signed-64>>,
           ~U[1969-12-31 23:59:55.000001Z]}
        ] do
      assert {name, decode(code, content)} == {name, {:ok, value}}
    end
  end

  test "what does not fit is refused, with the reason" do
    for {name, code, content, text} <- [
          {"a tuple of no array", 1, %{"a" => 1}, "no array"},
          {"a number of no bytes", 3, "", "extension type 3"},
          {"a number of too many bytes", 3, :binary.copy(<<1>>, 65_537), "extension type 3"},
          {"an invalid datetime", 4, "yesterday", "invalid datetime"},
          {"an invalid date", 6, "2026-02-30", "invalid date or time"},
          {"a tensor of two parts", 8, ["float32", [1]], "three parts"},
          {"a tensor of other bytes", 8, ["float32", [2], "abc"], "bytes"},
          {"an enum without a name", 9, [5, "MEMBER"], "two names"},
          {"an enum without a member", 9, ["Enum", 5], "two names"},
          {"a reference with a number", 10, ["i", 5, "LLM"], "three parts"},
          {"a reference without an incarnation", 10, [nil, "r", "LLM"], "three parts"},
          {"a reference without a type", 10, ["i", "r", nil], "three parts"},
          {"a struct without a name", 11, [5, %{}], "a name and fields"},
          {"a struct without fields", 11, ["SamplingParams", [1]], "a name and fields"},
          {"a struct whose fields are a set", 11, ["SamplingParams", MapSet.new([1])],
           "a name and fields"},
          {"an exception that is none", 12, <<0xFF>>, "an exception"},
          {"a patch", 13, [1], "outside of a stream"},
          {"a logprob of two parts", 14, [0.5, 1], "three parts"},
          {"logprobs of three lists", 16, [[1], [0.5], [1]], "four lists"},
          {"logprobs with a map for ids", 16, [%{}, [], [], []], "four lists"},
          {"logprobs with a text for logprobs", 16, [[], "", [], []], "four lists"},
          {"logprobs with a number for ranks", 16, [[], [], 5, []], "four lists"},
          {"logprobs with nothing for tokens", 16, [[], [], [], nil], "four lists"},
          {"logprobs of different lengths", 16, [[1, 2], [0.5], [1], ["a"]], "different lengths"},
          {"a timestamp of a whole second of nanoseconds", -1, <<1_000_000_000::32, 5::64>>,
           "invalid timestamp"},
          {"a timestamp beyond the calendar", -1, <<0::32, 0x7FFFFFFFFFFFFFFF::64>>,
           "invalid timestamp"},
          {"a timestamp of 5 bytes", -1, <<0::40>>, "extension type -1"},
          {"an unknown type", 99, "", "extension type 99"}
        ] do
      content = if is_list(content), do: encode!(content), else: content

      assert {^name, {:error, %Error{kind: :protocol, message: message}}} =
               {name, decode(code, content)}

      assert message =~ text, name
    end
  end

  test "a tensor is decoded" do
    assert decode(8, ["uint8", [2], {:bin, "ab"}] |> encode_tensor()) ==
             {:ok, %Tensor{dtype: "uint8", shape: [2], data: "ab"}}
  end

  test "the logprobs of a position are a map by token" do
    assert decode(16, [[7, 8], [-0.5, -1.0], [1, 2], ["a", nil]]) ==
             {:ok,
              %{
                7 => %Logprob{logprob: -0.5, rank: 1, decoded_token: "a"},
                8 => %Logprob{logprob: -1.0, rank: 2, decoded_token: nil}
              }}
  end

  test "a struct has the fields that it knows, and its defaults" do
    assert {:ok, %SamplingParams{} = params} =
             decode(11, ["SamplingParams", %{"n" => 3, "of_tomorrow" => 1}])

    assert params == %{%SamplingParams{} | n: 3}
  end

  # Bytes and not a text.
  defp encode_tensor([dtype, shape, {:bin, data}]) do
    <<0x93>> <> encode!(dtype) <> encode!(shape) <> <<0xC4, byte_size(data)>> <> data
  end
end
