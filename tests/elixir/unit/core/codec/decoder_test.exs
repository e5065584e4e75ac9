defmodule Vllm.Core.Codec.DecoderTest do
  # Counts the atoms of the whole system, so no other test may run at the same time.
  use ExUnit.Case, async: false

  import Vllm.Encoding, only: [encode!: 1]

  alias Vllm.{Codec, Error, TestVectors}

  setup_all do
    # Loading a module creates its atoms, which must not be counted.
    for module <- [Vllm.Classes, Vllm.Core.Codec.Decoder, Vllm.Core.Codec.Extension, Vllm.Error],
        do: Code.ensure_loaded!(module)

    :ok
  end

  test "text becomes no atoms" do
    strings = for n <- 1..100_000, do: "never an atom #{n} #{System.unique_integer()}"
    data = encode!([strings, Map.new(strings, &{&1, 1})])
    before = :erlang.system_info(:atom_count)
    assert {:ok, [^strings, _map]} = Codec.decode(data, :here)
    assert :erlang.system_info(:atom_count) - before < 50
  end

  test "unknown names become no atoms" do
    data = fn n ->
      name = "Unheard#{n}"
      content = <<0x92, byte_size(name) + 0xA0, name::binary, 0x81, 0xA3, "fie", n>>
      enum = <<0x92, byte_size(name) + 0xA0, name::binary, 0xA3, "MEM">>
      [<<0xC7, byte_size(content), 11>>, content, <<0xC7, byte_size(enum), 9>>, enum]
    end

    payload = IO.iodata_to_binary([<<0xDC, 200::16>> | Enum.map(1..100, data)])
    before = :erlang.system_info(:atom_count)
    assert {:ok, items} = Codec.decode(payload, :here)
    assert length(items) == 200
    assert :erlang.system_info(:atom_count) - before < 50
  end

  for %{"name" => name, "bytes" => bytes} <- TestVectors.read("malformed.json") do
    @bytes bytes
    test "malformed: #{name}" do
      assert {:error, %Error{kind: :protocol, message: message}} = Codec.decode(@bytes, :here)
      assert message =~ "cannot be decoded"
    end
  end

  test "every input of the fuzzing corpus is a value or a readable error" do
    for bytes <- Vllm.Fuzzed.corpus(:codec) ++ Vllm.Fuzzed.corpus(:gate),
        do: assert(Vllm.Fuzzed.codec(bytes) == :ok)
  end

  describe "decoding" do
    test "keeps only the value's payload in memory, not its frame" do
      payload = encode!(["some text", String.duplicate("x", 100)])
      frame = String.duplicate("x", 1_000_000) <> payload
      {:ok, [small, large]} = Codec.decode(binary_part(frame, 1_000_000, byte_size(payload)), nil)
      assert :binary.referenced_byte_size(small) < 300
      assert :binary.referenced_byte_size(large) < 300
    end

    test "of an announced size without bytes allocates no memory" do
      bomb = String.duplicate(<<0xDD, 0x7FFFFFFF::32>>, 1000)
      {_, before} = Process.info(self(), :memory)
      assert {:error, _} = Codec.decode(bomb, nil)
      {_, later} = Process.info(self(), :memory)
      assert later - before < 1_000_000
    end
  end
end
