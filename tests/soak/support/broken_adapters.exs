# Adapters that load without a complaint in plain vLLM, or leave something behind: copies of a good
# one, with its weights or its configuration changed.

defmodule Soak.BrokenAdapters do
  @weights "adapter_model.safetensors"
  @config "adapter_config.json"
  @nan <<0, 0, 0xC0, 0x7F>>

  @doc "Makes them in a folder, and returns `{what is broken, path}` for each."
  def make(good, folder) do
    for {name, change} <- changes() do
      path = Path.join(folder, name)
      File.mkdir_p!(path)
      for file <- File.ls!(good), do: File.cp!(Path.join(good, file), Path.join(path, file))
      change.(path)
      {name, path}
    end
  end

  defp changes do
    [
      {"weights that are NaN", &weights(&1, fn header, data -> {header, nan(data)} end)},
      {"an infinite lora_alpha", &infinite_alpha/1},
      {"a weight of one dimension", &weights(&1, fn header, data -> {flat(header), data} end)},
      {"weights of another model", &weights(&1, fn header, data -> {renamed(header), data} end)}
    ]
  end

  defp nan(data), do: :binary.copy(@nan, div(byte_size(data), byte_size(@nan)))

  defp infinite_alpha(path) do
    path = Path.join(path, @config)

    File.write!(
      path,
      Regex.replace(~r/"lora_alpha": \d+/, File.read!(path), ~s("lora_alpha": 1e400))
    )
  end

  # Of the last layer, so that the layers before it have been loaded when it fails.
  defp flat(header) do
    Regex.replace(
      ~r/(layers\.1\.[a-z_.]*lora_B\.weight":\{"dtype":"F32","shape":)\[(\d+),(\d+)\]/,
      header,
      fn
        _all, before, rows, columns ->
          "#{before}[#{String.to_integer(rows) * String.to_integer(columns)}]"
      end
    )
  end

  defp renamed(header), do: String.replace(header, "base_model.model.", "teacher_x.student.")

  # A header of JSON behind its length of eight bytes, then the numbers. The header keeps its length.
  defp weights(path, change) do
    path = Path.join(path, @weights)
    <<length::little-64, header::binary-size(length), data::binary>> = File.read!(path)
    {changed, data} = change.(header, data)
    true = changed != header or data != :binary.copy(<<0>>, byte_size(data))
    File.write!(path, [<<length::little-64>>, String.pad_trailing(changed, length), data])
  end
end
