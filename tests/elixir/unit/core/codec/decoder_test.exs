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

  describe "the limit of nested containers" do
    # Three times what may be sent: what the worker makes of it may be deeper.
    @limit 3 * Vllm.Core.Codec.Encoder.max_depth()

    test "holds for every kind of container, and at its edge" do
      for {shape, head} <- [list: <<0x91>>, map: <<0x81, 1>>, "large list": <<0xDD, 1::32>>],
          levels <- (@limit - 1)..(@limit + 2) do
        result = Codec.decode(:binary.copy(head, levels) <> <<1>>, nil)
        assert match?({:ok, _}, result) == levels <= @limit, "#{shape}, #{levels}"
        if levels > @limit, do: assert(error_of(result).message =~ "nested too deep")
      end
    end

    test "counts an extension type and the list within it" do
      tuple = encode!({1})

      for levels <- (@limit - 4)..(@limit + 2) do
        result = Codec.decode(:binary.copy(<<0x91>>, levels) <> tuple, nil)
        assert match?({:ok, _}, result) == levels + 2 <= @limit, "#{levels}"
        if levels + 2 > @limit, do: assert(error_of(result).message =~ "nested too deep")
      end
    end

    test "is for containers within each other, not beside each other" do
      for part <- [[1], %{1 => 1}, {1}, [[1]], [], %{}] do
        many = List.duplicate(part, 2 * @limit)
        assert Codec.decode(encode!(many), nil) == {:ok, many}
      end
    end
  end

  defp error_of({:error, %Error{kind: :protocol} = error}), do: error

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
      assert {:error, %Error{kind: :protocol} = error} = Codec.decode(bomb, nil)
      assert error.message =~ "nested too deep"
      {_, later} = Process.info(self(), :memory)
      assert later - before < 1_000_000
    end
  end
end
