defmodule Vllm.ProtoTest do
  # The generated protobuf codec against Python's protobuf, and against damaged input.
  use ExUnit.Case, async: true

  import Vllm.Core.OuterSize

  alias Vllm.Proto.{CallReply, ClientFrame, Credit, Failure, FailureKind, ServerFrame, StartCall}

  @vectors "../../../vectors/proto.exs"
           |> Path.expand(__DIR__)
           |> Code.eval_file()
           |> elem(0)
           |> Enum.map(&%{&1 | bytes: Base.decode16!(&1.bytes, case: :lower)})

  for vector <- @vectors, vector.message != nil do
    @vector vector

    test "decodes what Python has encoded: #{vector.name}" do
      assert @vector.module.decode(@vector.bytes) == {:ok, @vector.message}
    end
  end

  for vector <- @vectors, vector.canonical do
    @vector vector

    test "encodes what Python decodes: #{vector.name}" do
      assert encode(@vector.message) == @vector.bytes
    end
  end

  for vector <- @vectors, vector.message == nil do
    @vector vector

    test "refuses what Python refuses: #{vector.name}" do
      assert {:error, reason} = @vector.module.decode(@vector.bytes)
      assert reason =~ ~r/^[A-Z]\w+/
    end
  end

  describe "decoding" do
    test "names the damaged field and those around it" do
      assert ServerFrame.decode(<<0x12, 2, 0x08, 0x80>>) ==
               {:error, "ServerFrame.replies: CallReply.call: ends within a varint"}

      assert CallReply.decode(<<0x12, 3, "ab">>) ==
               {:error, "CallReply.value: 3 bytes announced, 2 left"}
    end

    test "refuses a known field with another wire type" do
      assert CallReply.decode(<<0x0D, 1, 2, 3, 4>>) ==
               {:error, "CallReply: field 1 has wire type 5"}
    end

    test "payloads at every edge of the length's encoding" do
      for size <- [0, 1, 127, 128, 129, 16_383, 16_384, 16_385, 2_097_151, 2_097_152] do
        reply = %CallReply{call: size, outcome: {:item, :binary.copy("x", size)}}
        frame = %ServerFrame{replies: [reply, reply]}
        assert ServerFrame.decode(encode(frame)) == {:ok, frame}
      end
    end

    test "payloads are sub-binaries of the frame, not copies" do
      payload = :binary.copy("x", 100)
      bytes = encode(%ServerFrame{replies: [%CallReply{outcome: {:item, payload}}]})

      assert {:ok, %{replies: [%{outcome: {:item, item}}]}} = ServerFrame.decode(bytes)
      assert :binary.referenced_byte_size(item) == byte_size(bytes)
    end

    test "a message cut anywhere is refused or read, and never raises" do
      for %{module: module, bytes: bytes} <- @vectors, size <- 0..byte_size(bytes) do
        assert {tag, _} = module.decode(binary_part(bytes, 0, size))
        assert tag in [:ok, :error]
      end
    end

    test "a message with random damage is refused or read, and never raises" do
      :rand.seed(:exsss, {1, 2, 3})
      vectors = Enum.filter(@vectors, &(&1.bytes != ""))

      for _ <- 1..20_000 do
        %{module: module, bytes: bytes} = Enum.random(vectors)
        assert {tag, _} = bytes |> damage(:rand.uniform(4)) |> module.decode()
        assert tag in [:ok, :error]
      end
    end

    test "noise is refused or read, and never raises" do
      :rand.seed(:exsss, {4, 5, 6})

      for _ <- 1..20_000, module <- [ClientFrame, ServerFrame, Failure] do
        assert {tag, _} = module.decode(:rand.bytes(:rand.uniform(40)))
        assert tag in [:ok, :error]
      end
    end

    test "ten thousand nested causes are decoded" do
      nested =
        Enum.reduce(1..10_000, "", fn _, cause ->
          IO.iodata_to_binary(Vllm.Core.Wire.Protobuf.set_bytes(<<0x2A>>, cause))
        end)

      assert {:ok, %Failure{cause: %Failure{}}} = Failure.decode(nested)
    end
  end

  describe "encoding" do
    test "takes iodata for payloads" do
      reply = %CallReply{call: 1, outcome: {:value, ["a", [?b | "c"]]}}

      assert {:ok, %{outcome: {:value, "abc"}}} = CallReply.decode(encode(reply))
    end

    test "raises for a number of more than 64 bits" do
      assert_raise FunctionClauseError, fn -> encode(%Credit{call: 0x1_0000_0000_0000_0000}) end
      assert_raise FunctionClauseError, fn -> encode(%Credit{call: -1}) end
    end

    test "random frames are decoded as they were encoded" do
      :rand.seed(:exsss, {7, 8, 9})

      for _ <- 1..500 do
        frame = %ClientFrame{
          calls: some(fn -> %StartCall{id: uint(), credit: :rand.uniform(100)} end),
          credits: some(fn -> %Credit{call: uint(), items: :rand.uniform(100)} end),
          cancels: some(&uint/0),
          releases: some(fn -> "o#{uint()}" end)
        }

        assert ClientFrame.decode(encode(frame)) == {:ok, frame}
      end
    end
  end

  test "members of an enum and their numbers name each other, unknown numbers stay" do
    for number <- 0..14 do
      assert number |> FailureKind.from_integer() |> FailureKind.to_integer() == number
    end

    assert FailureKind.from_integer(99) == 99
    assert FailureKind.to_integer(99) == 99
  end

  defp encode(%module{} = message), do: message |> module.encode() |> IO.iodata_to_binary()

  defp some(make), do: for(_ <- 1..:rand.uniform(6), do: make.())

  # Each number of bits is as likely as any other.
  defp uint, do: :rand.uniform(Integer.pow(2, :rand.uniform(64))) - 1

  defp damage(bytes, 0), do: bytes
  defp damage("", _times), do: ""

  defp damage(bytes, times) do
    at = :rand.uniform(byte_size(bytes)) - 1
    <<head::binary-size(outer(at)), byte, tail::binary>> = bytes

    case :rand.uniform(4) do
      1 -> head <> <<:rand.uniform(256) - 1>> <> tail
      2 -> head <> tail
      3 -> head <> <<byte, byte>> <> tail
      4 -> head <> <<Bitwise.bxor(byte, 0x80)>> <> tail
    end
    |> damage(times - 1)
  end
end
