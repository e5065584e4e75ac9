defmodule Vllm.TinyModelTest do
  use ExUnit.Case, async: true

  alias Vllm.{Error, TinyModel}

  @moduletag :tmp_dir

  test "makes a model in the given folder", %{tmp_dir: dir} do
    folder = Path.join(dir, "m")
    assert TinyModel.make(:random, folder) == {:ok, folder}
    assert TinyModel.make(:random, folder: folder) == {:ok, folder}
    assert File.exists?(Path.join(folder, "model.safetensors"))
  end

  test "a classifier has as many classes as labels: says", %{tmp_dir: dir} do
    for {options, labels} <- [{[], 3}, {[labels: 1], 1}, {[labels: 2, seed: 7], 2}] do
      {:ok, folder} = TinyModel.make(:classify, [folder: Path.join(dir, "#{labels}")] ++ options)
      config = File.read!(Path.join(folder, "config.json"))
      assert length(Regex.scan(~r/"\d+": "LABEL_/, config)) == labels
    end
  end

  test "makes adapters, each in a folder of its name", %{tmp_dir: dir} do
    assert TinyModel.adapter(:meow, dir) == {:ok, Path.join(dir, "meow")}

    assert TinyModel.adapters([:woof, "one", "broken-empty"], dir) ==
             {:ok, for(name <- ["woof", "one", "broken-empty"], do: Path.join(dir, name))}

    assert File.exists?(Path.join(dir, "one/adapter_model.safetensors"))
    assert File.ls!(Path.join(dir, "broken-empty")) == ["tiny_model.json"]
  end

  test "shows Python's output when a model cannot be made", %{tmp_dir: dir} do
    assert {:error, %Error{kind: :python} = error} = TinyModel.adapter(:quack, dir)
    assert error.message =~ "the script does not lead to ' quack'"

    File.write!(Path.join(dir, "thesis.txt"), "three years of work")
    assert {:error, %Error{} = error} = TinyModel.make(:random, dir)
    assert error.message =~ "was not made by tiny_model"
  end

  test "absurd arguments are refused before Python is started" do
    for value <- Vllm.Absurd.values(),
        not is_binary(value),
        value not in [nil, []],
        not names?(value) do
      for make <- [
            fn -> TinyModel.make(value) end,
            fn -> TinyModel.make(:scripted, value) end,
            fn -> TinyModel.make(:scripted, folder: value) end,
            fn -> TinyModel.make(:scripted, labels: value, seed: -1) end,
            fn -> TinyModel.adapters(value) end,
            fn -> TinyModel.adapters([value], 5) end,
            fn -> TinyModel.adapter(:meow, value) end
          ] do
        assert {:error, %Vllm.Error{kind: :invalid}} = make.()
      end
    end
  end

  # A random list may hold names, of adapters that there are not.
  defp names?([_ | _] = list),
    do: not List.improper?(list) and Enum.all?(list, &(is_atom(&1) or is_binary(&1)))

  defp names?(_value), do: false
end
