defmodule Vllm.RealEngine.ImageDocumentsTest do
  # Its images are pictures of nothing: what a tiny model says to them is not looked at.
  use Vllm.Documents.Case, engine: :sees

  setup do
    folder = Path.join(System.tmp_dir!(), "images-#{System.unique_integer([:positive])}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    image = "P6\n28 28\n255\n" <> :binary.copy(<<200, 100, 50>>, 28 * 28)
    for name <- ~w(cat.jpg 1.png 2.png), do: File.write!(Path.join(folder, name), image)
    %{folder: folder}
  end

  defp prepared(_page, _context),
    do: [rgb: :binary.copy(<<0>>, 480 * 640 * 3), pcm: :binary.copy(<<0::32>>, 16_000 * 5)]
end
