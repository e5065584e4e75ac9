defmodule Vllm.Core.Codec.DecoderTest do
  # Counts the atoms of the whole system, so nothing else may run meanwhile.
  use ExUnit.Case, async: false

  alias Vllm.Codec

  setup_all do
    # Loading a module makes its atoms, which are not the text's.
    for module <- [Vllm.Classes, Vllm.Core.Codec.Decoder, Vllm.Core.Codec.Extension, Vllm.Error],
        do: Code.ensure_loaded!(module)

    :ok
  end

  defp encode!(term) do
    {:ok, data} = Codec.encode(term)
    IO.iodata_to_binary(data)
  end

  test "decoding makes no atoms of text" do
    strings = for n <- 1..100_000, do: "never an atom #{n} #{System.unique_integer()}"
    data = encode!([strings, Map.new(strings, &{&1, 1})])
    before = :erlang.system_info(:atom_count)
    assert {:ok, [^strings, _map]} = Codec.decode(data, :here)
    assert :erlang.system_info(:atom_count) - before < 50
  end

  test "decoding makes no atoms of names that are not known" do
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
end
