# The pages of the manual whose examples need a real engine run here: a module for each engine, because an
# engine ends with the last module that uses it. `Vllm.Documents` says which page needs which.

defmodule Vllm.RealEngine.DocumentsTest do
  # The README and the first steps, as a reader types them: on the default instance.
  use Vllm.VllmEngine

  alias Vllm.Documents
  alias Vllm.Documents.Runner

  if reason = unavailable(:chat), do: @moduletag(skip: reason)

  setup_all do
    put_environment()
    on_exit(fn -> DynamicSupervisor.terminate_child(Vllm.DefaultSupervisor, default()) end)
  end

  for page <- Documents.on(:default) do
    test "the examples of #{page} run" do
      Runner.run(unquote(page), :default, [])
    end
  end

  defp default, do: Process.whereis(Vllm.Default) || self()
end

defmodule Vllm.RealEngine.ChatDocumentsTest do
  use Vllm.Documents.Case, engine: :chat

  alias Vllm.Mellea.Backends.LocalVLLMBackend

  defp prepared("mellea.md", %{engine: engine}) do
    {:ok, backend} = LocalVLLMBackend.new("smol", engine: engine)
    [backend: backend]
  end

  defp prepared(_page, _context), do: []
end

defmodule Vllm.RealEngine.PoolingDocumentsTest do
  use Vllm.Documents.Case, engine: :embed, also: [classifier: :classify]

  defp prepared(_page, context), do: [embedder: context.engine, classifier: context.classifier]
end

defmodule Vllm.RealEngine.LoraDocumentsTest do
  use Vllm.Documents.Case, engine: :lora

  setup %{engine: engine} do
    on_exit(fn ->
      Vllm.LoraCase.unload(engine)
      assert_well(engine)
    end)
  end

  defp prepared(_page, _context), do: [path: adapters(["meow"])["meow"]]
end

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
